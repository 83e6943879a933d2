"""Where the demo's data comes from: a Postgres source, replayed events, a file drop, and records broken on purpose."""
