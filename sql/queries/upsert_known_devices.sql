-- upsert_known_devices: note with what users were seen. The same sightings give
-- the same rows in any order, any number of times.
--
-- $1 text[]         user_id
-- $2 text[]         device; a pair of the two without repeats (else 21000)
-- $3 timestamptz[]  when first
-- $4 timestamptz[]  when last
--
-- In the order of the key, so that two batches never wait for each other. Counts
-- on known_devices_pkey.
INSERT INTO known_devices AS k (user_id, device, first_seen_at, last_seen_at)
SELECT e.user_id, e.device, e.first_seen_at, e.last_seen_at
FROM unnest(CAST($1 AS text[]), CAST($2 AS text[]), CAST($3 AS timestamptz[]), CAST($4 AS timestamptz[]))
     AS e (user_id, device, first_seen_at, last_seen_at)
ORDER BY e.user_id, e.device
ON CONFLICT (user_id, device) DO UPDATE SET
    first_seen_at = LEAST(k.first_seen_at, excluded.first_seen_at),
    last_seen_at = GREATEST(k.last_seen_at, excluded.last_seen_at)
WHERE excluded.last_seen_at > k.last_seen_at OR excluded.first_seen_at < k.first_seen_at;
