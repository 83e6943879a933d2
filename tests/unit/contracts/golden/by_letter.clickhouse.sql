CREATE TABLE IF NOT EXISTS gold.by_letter
(
    event_date Date32,
    letter LowCardinality(String),
    money Nullable(Decimal(18, 2)) COMMENT 'Sum of the amounts',
    first_seen Nullable(DateTime64(6, 'UTC'))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_date)
ORDER BY (event_date, letter)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What each letter brought in a day.';
