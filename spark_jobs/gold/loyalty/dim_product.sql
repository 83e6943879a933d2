-- Attributes are never null, so that grouping by them loses no sale and no join needs care.
SELECT
    _version_key AS product_key,
    product_id,
    coalesce(manufacturer_id, -1) AS manufacturer_id,
    coalesce(department, 'Unknown') AS department,
    coalesce(brand, 'Unknown') AS brand,
    coalesce(product_category, 'Unknown') AS product_category,
    coalesce(product_type, 'Unknown') AS product_type,
    coalesce(package_size, 'Unknown') AS package_size,
    valid_from,
    -- The last day that ClickHouse's DateTime64 knows: later ones would wrap around there.
    least(valid_to, TIMESTAMP'2299-12-31 00:00:00') AS valid_to,
    is_current
FROM silver.products
WHERE NOT _is_deleted
UNION ALL
-- The member that sales of a product missing from the product list point to.
SELECT
    repeat('0', 32), -1, -1, 'Unknown', 'Unknown', 'Unknown', 'Unknown', 'Unknown',
    TIMESTAMP'1900-01-01 00:00:00', TIMESTAMP'2299-12-31 00:00:00', true
