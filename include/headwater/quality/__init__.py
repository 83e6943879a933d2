"""Data quality: the rules of the contracts, judged by Great Expectations before anything is published."""
