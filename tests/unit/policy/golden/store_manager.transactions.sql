CREATE OR REPLACE VIEW `role_store_manager`.`transactions`
(
    `event_id` String COMMENT 'Derives from the source row, so that a replay repeats it',
    `event_type` Nullable(String) COMMENT 'What happened',
    `event_timestamp` DateTime64(6, 'UTC') COMMENT 'When it happened, by the source\'s clock',
    `source_system` Nullable(String) COMMENT 'Who sent it',
    `schema_version` Nullable(Int32) COMMENT 'Version of the contract\'s Avro schema the producer wrote with',
    `household_id` Nullable(Int64) COMMENT 'The household whose loyalty card was shown (null)',
    `store_id` Int64 COMMENT 'The store',
    `basket_id` Int64 COMMENT 'One purchase at the till',
    `product_id` Int64 COMMENT 'The article; 17 that were sold are unknown to the product list',
    `quantity` Int64 COMMENT 'Pieces sold; fuel and other goods by weight come as large numbers, 0 where only a coupon was booked',
    `sales_value` Decimal(10, 2) COMMENT 'What the retailer received for the line, in US dollars',
    `retail_disc` Decimal(10, 2) COMMENT 'Discount by the loyalty card, borne by the retailer',
    `coupon_disc` Decimal(10, 2) COMMENT 'Discount by a manufacturer\'s coupon, borne by the manufacturer',
    `coupon_match_disc` Decimal(10, 2) COMMENT 'What the retailer adds by matching a manufacturer\'s coupon, borne by the retailer',
    `week` Int32 COMMENT 'Week of the study, 1 to 53',
    `transaction_timestamp` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the basket was paid',
    `transaction_date` Nullable(Date32) COMMENT 'Day (UTC) the basket was paid',
    `_kafka_partition` Int32 COMMENT 'Partition of that topic',
    `_kafka_offset` Int64 COMMENT 'Offset in that partition',
    `_ingested_at` DateTime64(6, 'UTC') COMMENT 'When the platform took it in'
)
DEFINER = `headwater_policy` SQL SECURITY DEFINER
AS
SELECT
    t.`event_id` AS `event_id`,
    t.`event_type` AS `event_type`,
    t.`event_timestamp` AS `event_timestamp`,
    t.`source_system` AS `source_system`,
    t.`schema_version` AS `schema_version`,
    CAST(NULL AS Nullable(Int64)) AS `household_id`,
    t.`store_id` AS `store_id`,
    t.`basket_id` AS `basket_id`,
    t.`product_id` AS `product_id`,
    t.`quantity` AS `quantity`,
    t.`sales_value` AS `sales_value`,
    t.`retail_disc` AS `retail_disc`,
    t.`coupon_disc` AS `coupon_disc`,
    t.`coupon_match_disc` AS `coupon_match_disc`,
    t.`week` AS `week`,
    t.`transaction_timestamp` AS `transaction_timestamp`,
    t.`transaction_date` AS `transaction_date`,
    t.`_kafka_partition` AS `_kafka_partition`,
    t.`_kafka_offset` AS `_kafka_offset`,
    t.`_ingested_at` AS `_ingested_at`
FROM (SELECT * FROM live.transactions FINAL WHERE has(JSONExtract(getSetting('query_cache_tag'), 'stores', 'Array(Int64)'), store_id) LIMIT 18446744073709551615) AS t
COMMENT 'policy: f5b5b9283b710996'
