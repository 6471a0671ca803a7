-- update_notices_reported: note that the user disowned an event.
--
-- $1 uuid         event_id
-- $2 timestamptz  now
--
-- Rows affected: 0 if they had done so before. Counts on notices_event_id_idx.
UPDATE notices
SET reported_at = $2
WHERE event_id = $1 AND reported_at IS NULL;
