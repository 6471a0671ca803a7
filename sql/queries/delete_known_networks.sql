-- delete_known_networks: forget where nobody has been seen lately.
--
-- $1 timestamptz  before when
-- $2 bigint       how many at most
--
-- Rows affected: those forgotten. Counts on known_networks_last_seen_at_idx.
DELETE FROM known_networks
WHERE (user_id, network) IN (
    SELECT user_id, network FROM known_networks WHERE last_seen_at < CAST($1 AS timestamptz)
    ORDER BY last_seen_at LIMIT $2 FOR UPDATE SKIP LOCKED)
  AND last_seen_at < CAST($1 AS timestamptz);
