-- delete_known_devices: forget what nobody has been seen with lately.
--
-- $1 timestamptz  before when
-- $2 bigint       how many at most
--
-- Rows affected: those forgotten. Counts on known_devices_last_seen_at_idx.
DELETE FROM known_devices
WHERE (user_id, device) IN (
    SELECT user_id, device FROM known_devices WHERE last_seen_at < CAST($1 AS timestamptz)
    ORDER BY last_seen_at LIMIT $2 FOR UPDATE SKIP LOCKED)
  AND last_seen_at < CAST($1 AS timestamptz);
