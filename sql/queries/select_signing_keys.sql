-- select_signing_keys: the signing keys, in the order in which they sign.
--
-- Retired ones are shown for as long as somebody may ask what became of them.
SELECT kid, algorithm, published_at, signs_from, signs_until, verifies_until, changed_at, sealed
FROM signing_keys
WHERE verifies_until IS NULL OR octet_length(sealed) > 0 OR verifies_until > now() - CAST('90 days' AS interval)
ORDER BY signs_from, published_at, kid;
