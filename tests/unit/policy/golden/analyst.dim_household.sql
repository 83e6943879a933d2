CREATE OR REPLACE VIEW `role_analyst`.`dim_household`
(
    `household_key` String COMMENT 'Key of the version (hash)',
    `household_id` String COMMENT 'Number of the household in the source; -1 for the unknown one (hash)',
    `age` LowCardinality(String) COMMENT 'Age band',
    `income` Nullable(String) COMMENT 'Income band (null)',
    `home_ownership` LowCardinality(String) COMMENT 'Whether the home is owned or rented',
    `marital_status` Nullable(String) COMMENT 'Marital status (null)',
    `household_size` LowCardinality(String) COMMENT 'Number of persons, up to 5+',
    `household_comp` LowCardinality(String) COMMENT 'Who lives in it: adults and kids',
    `kids_count` LowCardinality(String) COMMENT 'Number of kids, up to 3+',
    `has_demographics` Bool COMMENT 'Whether the household has told anything about itself',
    `valid_from` DateTime64(6, 'UTC') COMMENT 'The version holds from here; 1900-01-01 for the first',
    `valid_to` DateTime64(6, 'UTC') COMMENT '… up to, not including; 2299-12-31 for the open one',
    `is_current` Bool COMMENT 'Whether this is the newest version'
)
DEFINER = `headwater_policy` SQL SECURITY DEFINER
AS
SELECT
    lower(substring(hex(SHA256(concat(k.key, toString(t.`household_key`)))), 1, 32)) AS `household_key`,
    lower(substring(hex(SHA256(concat(k.key, toString(t.`household_id`)))), 1, 32)) AS `household_id`,
    t.`age` AS `age`,
    CAST(NULL AS Nullable(String)) AS `income`,
    t.`home_ownership` AS `home_ownership`,
    CAST(NULL AS Nullable(String)) AS `marital_status`,
    t.`household_size` AS `household_size`,
    t.`household_comp` AS `household_comp`,
    t.`kids_count` AS `kids_count`,
    t.`has_demographics` AS `has_demographics`,
    t.`valid_from` AS `valid_from`,
    t.`valid_to` AS `valid_to`,
    t.`is_current` AS `is_current`
FROM gold.dim_household AS t
CROSS JOIN (SELECT assumeNotNull(min(key)) AS key FROM headwater_keys.mask_key HAVING count() > 0) AS k
COMMENT 'policy: 11e4d9f7de9022ba'
