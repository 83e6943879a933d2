"""The routes of `/v1` that read."""
