"""The warehouse (ClickHouse): client, DDL, loading, and the embedded endpoint over chDB."""
