SELECT
    t.campaign_type AS campaign_type,
    round(if(nullIf(toDecimal256(SUM(t.households_targeted), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(100 * (SUM(t.households_redeeming)), 6), ifNull(nullIf(toDecimal256(SUM(t.households_targeted), 6), 0), 1), 12)), 2) AS campaign_response
FROM gold.mart_marketing_campaign_response AS t
WHERE t.start_date < {p0:Date32}
GROUP BY t.campaign_type
ORDER BY campaign_type
LIMIT 1000
-- {"p0": "2017-06-01"}
