"""The Iceberg lake: sessions and catalog, snapshots, merges, silver, gold and maintenance."""
