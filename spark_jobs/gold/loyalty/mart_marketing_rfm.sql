WITH households AS (
    SELECT
        household_id,
        min(sale_date) AS first_sale_date,
        max(sale_date) AS last_sale_date,
        count(DISTINCT basket_id) AS frequency,
        sum(sales_value) AS monetary
    FROM gold.fct_sales
    GROUP BY household_id
),
measured AS (
    -- "Today" is the newest sale in the data, so that the same data give the same answer on any day.
    SELECT
        *,
        max(last_sale_date) OVER () AS as_of_date,
        datediff(max(last_sale_date) OVER (), last_sale_date) AS recency_days
    FROM households
),
ranked AS (
    -- Households that are no better, this one included. RANGE gives equal values an equal count, so equal households
    -- get equal scores and no tie has to be broken.
    SELECT
        *,
        count(*) OVER () AS of_all,
        count(*) OVER (ORDER BY recency_days DESC RANGE UNBOUNDED PRECEDING) AS recency_upto,
        count(*) OVER (ORDER BY frequency RANGE UNBOUNDED PRECEDING) AS frequency_upto,
        count(*) OVER (ORDER BY monetary RANGE UNBOUNDED PRECEDING) AS monetary_upto
    FROM measured
),
scored AS (
    -- Quintiles 1 (worst) to 5 (best): the share of the households, rounded up, in whole numbers.
    SELECT
        *,
        CAST((5 * recency_upto + of_all - 1) DIV of_all AS INT) AS recency_score,
        CAST((5 * frequency_upto + of_all - 1) DIV of_all AS INT) AS frequency_score,
        CAST((5 * monetary_upto + of_all - 1) DIV of_all AS INT) AS monetary_score
    FROM ranked
)
SELECT
    household_id,
    as_of_date,
    first_sale_date,
    last_sale_date,
    recency_days,
    frequency,
    monetary,
    round(monetary / frequency, 2) AS average_basket_value,
    recency_score,
    frequency_score,
    monetary_score,
    100 * recency_score + 10 * frequency_score + monetary_score AS rfm_score,
    CASE
        WHEN recency_score >= 4 AND frequency_score >= 4 AND monetary_score >= 4 THEN 'champion'
        WHEN recency_score >= 3 AND frequency_score >= 3 THEN 'loyal'
        WHEN recency_score >= 4 THEN 'promising'
        WHEN frequency_score >= 4 OR monetary_score >= 4 THEN 'at risk'
        WHEN recency_score = 3 THEN 'needs attention'
        ELSE 'hibernating'
    END AS segment
FROM scored
