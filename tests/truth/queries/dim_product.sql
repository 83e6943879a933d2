SELECT
    version_key AS product_key, product_id, manufacturer_id, department, brand,
    ifnull(product_category, 'Unknown') AS product_category,
    ifnull(product_type, 'Unknown') AS product_type,
    ifnull(package_size, 'Unknown') AS package_size,
    valid_from, valid_to, is_current
FROM product_version
UNION ALL
SELECT lpad('', 32, '0'), -1, -1, 'Unknown', 'Unknown', 'Unknown', 'Unknown', 'Unknown', TIMESTAMP '1900-01-01', TIMESTAMP '2299-12-31', true
