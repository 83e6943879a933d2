SELECT store_id AS store_key, store_id, 'Store ' || store_id AS store_name
FROM (SELECT store_id FROM line_file UNION SELECT store_id FROM promotion_file)
UNION ALL
VALUES (-1, -1, 'Unknown')
