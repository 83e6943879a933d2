"""Dashboards for BI tools: declared once in YAML, written out for Grafana and for Superset."""
