-- Two households of three have told nothing about themselves; they have a row all the same.
SELECT
    _version_key AS household_key,
    household_id,
    coalesce(age, 'Unknown') AS age,
    coalesce(income, 'Unknown') AS income,
    coalesce(home_ownership, 'Unknown') AS home_ownership,
    coalesce(marital_status, 'Unknown') AS marital_status,
    coalesce(household_size, 'Unknown') AS household_size,
    coalesce(household_comp, 'Unknown') AS household_comp,
    coalesce(kids_count, 'Unknown') AS kids_count,
    coalesce(age, income, home_ownership, marital_status, household_size, household_comp, kids_count)
        IS NOT NULL AS has_demographics,
    valid_from,
    -- The last day that ClickHouse's DateTime64 knows: later ones would wrap around there.
    least(valid_to, TIMESTAMP'2299-12-31 00:00:00') AS valid_to,
    is_current
FROM silver.households
WHERE NOT _is_deleted
UNION ALL
-- The member that sales of a household not yet known here point to.
SELECT
    repeat('0', 32), -1, 'Unknown', 'Unknown', 'Unknown', 'Unknown', 'Unknown', 'Unknown', 'Unknown', false,
    TIMESTAMP'1900-01-01 00:00:00', TIMESTAMP'2299-12-31 00:00:00', true
