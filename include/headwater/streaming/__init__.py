"""Kafka into bronze, bronze into the live tables, and the account of every offset."""
