"""The platform's own database in Postgres: connections to it, and the making of its tables."""
