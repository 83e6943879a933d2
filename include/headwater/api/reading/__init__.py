"""What the API's reading side is made of: selection and cursor, the way to ClickHouse, what it shows, and the cache."""
