"""What comes from what: datasets by their contracts, columns by the SQL of the gold models."""
