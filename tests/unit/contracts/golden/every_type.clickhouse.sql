CREATE TABLE IF NOT EXISTS live.every_type
(
    event_id String COMMENT 'Derives from the source row, so that a replay repeats it',
    event_type Nullable(String) COMMENT 'What happened',
    event_timestamp DateTime64(6, 'UTC') COMMENT 'When it happened, by the source\'s clock',
    source_system Nullable(String) COMMENT 'Who sent it',
    schema_version Nullable(Int32) COMMENT 'Version of the contract\'s Avro schema the producer wrote with',
    id Int64,
    text Nullable(String),
    letter LowCardinality(Nullable(String)),
    flag Nullable(Bool),
    small Nullable(Int32),
    rough Nullable(Float32),
    fine Nullable(Float64),
    money Decimal(10, 2) COMMENT 'An amount' CODEC(Delta, ZSTD(1)),
    day Nullable(Date32),
    moment Nullable(DateTime64(6, 'UTC')),
    token Nullable(UUID),
    blob Nullable(String),
    numbers Array(Nullable(Int64)),
    attributes Map(String, Nullable(String)),
    event_date Nullable(Date32),
    _kafka_partition Int32 COMMENT 'Partition of that topic',
    _kafka_offset Int64 COMMENT 'Offset in that partition',
    _ingested_at DateTime64(6, 'UTC') COMMENT 'When the platform took it in'
)
ENGINE = ReplacingMergeTree(_kafka_offset)
PARTITION BY toYYYYMM(event_timestamp)
ORDER BY (id)
TTL toDateTime(_ingested_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'One column of every type, and one rule of every kind; it\'s for golden files.';
