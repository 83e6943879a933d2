SELECT
    version_key AS household_key, household_id,
    ifnull(age, 'Unknown') AS age,
    ifnull(income, 'Unknown') AS income,
    ifnull(home_ownership, 'Unknown') AS home_ownership,
    ifnull(marital_status, 'Unknown') AS marital_status,
    ifnull(household_size, 'Unknown') AS household_size,
    ifnull(household_comp, 'Unknown') AS household_comp,
    ifnull(kids_count, 'Unknown') AS kids_count,
    len(list_filter(
        [age, income, home_ownership, marital_status, household_size, household_comp, kids_count],
        lambda x: x IS NOT NULL
    )) > 0 AS has_demographics,
    valid_from, valid_to, is_current
FROM household_version
UNION ALL
SELECT lpad('', 32, '0'), -1, 'Unknown', 'Unknown', 'Unknown', 'Unknown', 'Unknown', 'Unknown', 'Unknown', false,
    TIMESTAMP '1900-01-01', TIMESTAMP '2299-12-31', true
