-- upsert_known_networks: note from where users were seen. The same sightings give
-- the same rows in any order, any number of times, but for what slack leaves out.
--
-- $1 text[]         user_id
-- $2 text[]         network; a pair of the two without repeats (else 21000)
-- $3 text[]         country; '' for unknown
-- $4 text[]         asn; '' for unknown
-- $5 timestamptz[]  when first
-- $6 timestamptz[]  when last
-- $7 interval       a sighting that is later than the last by less is left out before
--                   any row is locked: most refreshes come from where the one before did
--
-- In the order of the key, so that two batches never wait for each other. Counts
-- on known_networks_pkey.
INSERT INTO known_networks AS k (user_id, network, country, asn, first_seen_at, last_seen_at)
SELECT e.user_id, CAST(e.network AS cidr), NULLIF(e.country, ''), CAST(NULLIF(e.asn, '') AS bigint),
       e.first_seen_at, e.last_seen_at
FROM unnest(CAST($1 AS text[]), CAST($2 AS text[]), CAST($3 AS text[]), CAST($4 AS text[]),
            CAST($5 AS timestamptz[]), CAST($6 AS timestamptz[]))
     AS e (user_id, network, country, asn, first_seen_at, last_seen_at)
LEFT JOIN known_networks AS o ON o.user_id = e.user_id AND o.network = CAST(e.network AS cidr)
WHERE o.user_id IS NULL OR e.last_seen_at > o.last_seen_at + CAST($7 AS interval) OR e.first_seen_at < o.first_seen_at
ORDER BY e.user_id, e.network
ON CONFLICT (user_id, network) DO UPDATE SET
    country = CASE WHEN excluded.last_seen_at >= k.last_seen_at THEN excluded.country ELSE k.country END,
    asn = CASE WHEN excluded.last_seen_at >= k.last_seen_at THEN excluded.asn ELSE k.asn END,
    first_seen_at = LEAST(k.first_seen_at, excluded.first_seen_at),
    last_seen_at = GREATEST(k.last_seen_at, excluded.last_seen_at);
