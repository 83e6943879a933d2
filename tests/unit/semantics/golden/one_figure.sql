SELECT
    COUNT(*) AS households_in_segment
FROM gold.mart_marketing_rfm AS t
LIMIT 1000
-- {}
