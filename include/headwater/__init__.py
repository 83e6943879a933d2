"""Headwater: events and database changes, through an Iceberg lake, into ClickHouse."""

__version__ = "0.1.0"
