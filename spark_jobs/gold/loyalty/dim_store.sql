SELECT
    store_id AS store_key,
    store_id,
    store_name
FROM silver.stores
WHERE NOT _is_deleted
UNION ALL
-- The member that sales of a store not yet known here point to.
SELECT -1, -1, 'Unknown'
