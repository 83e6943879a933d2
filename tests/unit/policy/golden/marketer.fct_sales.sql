CREATE OR REPLACE VIEW `role_marketer`.`fct_sales`
(
    `basket_id` String COMMENT 'One purchase at the till (last_four)',
    `product_id` Int64 COMMENT 'The product, as the source numbers it',
    `date_key` Int32 COMMENT 'Day (UTC) it was paid',
    `store_key` Int64 COMMENT 'Store; -1 where not known yet',
    `product_key` String COMMENT 'Version of the product that held then; 32 zeros where the product is unknown',
    `household_key` String COMMENT 'Version of the household that held then; 32 zeros where the household is unknown (hash)',
    `store_id` Int64 COMMENT 'The store, as the source numbers it',
    `household_id` String COMMENT 'The household, as the source numbers it (last_four)',
    `transaction_timestamp` DateTime64(6, 'UTC') COMMENT 'When it was paid (UTC) (year_only)',
    `sale_date` Date32 COMMENT 'Day (UTC) it was paid',
    `sale_month` Date32 COMMENT 'First day of its month',
    `week` Int32 COMMENT 'Week of the source, 1 to 53: Monday to Sunday in US Eastern time',
    `week_end` Date32 COMMENT 'The Monday at whose first hours (UTC) that week ends',
    `quantity` Int64 COMMENT 'Pieces sold; fuel and goods by weight come in the thousands, 0 where only a coupon was booked',
    `sales_value` Decimal(10, 2) COMMENT 'What the retailer received, in US dollars',
    `retail_disc` Decimal(10, 2) COMMENT 'Discount by the loyalty card, borne by the retailer',
    `coupon_disc` Decimal(10, 2) COMMENT 'Discount by a manufacturer\'s coupon, borne by the manufacturer',
    `coupon_match_disc` Decimal(10, 2) COMMENT 'What the retailer added by matching a manufacturer\'s coupon, borne by the retailer'
)
DEFINER = `headwater_policy` SQL SECURITY DEFINER
AS
SELECT
    if(lengthUTF8(toString(t.`basket_id`)) > 4, concat('****', substringUTF8(toString(t.`basket_id`), -4)), '****') AS `basket_id`,
    t.`product_id` AS `product_id`,
    t.`date_key` AS `date_key`,
    t.`store_key` AS `store_key`,
    t.`product_key` AS `product_key`,
    lower(substring(hex(SHA256(concat(k.key, toString(t.`household_key`)))), 1, 32)) AS `household_key`,
    t.`store_id` AS `store_id`,
    if(lengthUTF8(toString(t.`household_id`)) > 4, concat('****', substringUTF8(toString(t.`household_id`), -4)), '****') AS `household_id`,
    makeDateTime64(toYear(t.`transaction_timestamp`), 1, 1, 0, 0, 0, 0, 6, 'UTC') AS `transaction_timestamp`,
    t.`sale_date` AS `sale_date`,
    t.`sale_month` AS `sale_month`,
    t.`week` AS `week`,
    t.`week_end` AS `week_end`,
    t.`quantity` AS `quantity`,
    t.`sales_value` AS `sales_value`,
    t.`retail_disc` AS `retail_disc`,
    t.`coupon_disc` AS `coupon_disc`,
    t.`coupon_match_disc` AS `coupon_match_disc`
FROM (SELECT * FROM gold.fct_sales WHERE sale_date >= '2017-01-01' AND quantity > 0 LIMIT 18446744073709551615) AS t
CROSS JOIN (SELECT assumeNotNull(min(key)) AS key FROM headwater_keys.mask_key HAVING count() > 0) AS k
COMMENT 'policy: 3462c0b895e5a950'
