"""Change data capture: tables of the source Postgres as streams of changes, by Debezium in a Kafka Connect worker.

`connector` says what Debezium is told, `source` what the database needs, `worker` speaks to the worker, `applying`
brings the three together, `status` and `snapshots` look at it and repeat what was read; `supervising` starts
again what fails, within the budget that `restarts` keeps.
"""
