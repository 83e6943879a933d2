SELECT event_date, letter, sum(money) AS money, min(event_timestamp) AS first_seen
FROM silver.every_type
GROUP BY event_date, letter
