"""The ingestion API: events over HTTP, judged by the contract, answered when the broker has them."""
