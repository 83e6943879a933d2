"""The MCP sidecar: AI agents ask the warehouse, read-only, and every answer says what it rests on."""
