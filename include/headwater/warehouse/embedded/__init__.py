"""ClickHouse's HTTP interface over chDB, for the embedded stack.

Run it with `python -m headwater.warehouse.embedded`. Unmodified ClickHouse clients talk to it: clickhouse-connect, the
JDBC driver, SQLAlchemy, curl. A deployment uses the real server; the decision is docs/adr/0003.

Read on from `app` (the routes), `execution` (one query's life), `engine` (chDB), `access` (who may do what).
"""
