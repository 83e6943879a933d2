"""Headwater's Airflow operators. Thin: what they run lives in `spark_jobs/` and the `headwater` command."""
