-- retry_notices: let parked notices be sent after all, from the first attempt on.
--
-- $1 text         id; '' for all that are parked
-- $2 timestamptz  now
--
-- Rows affected: how many. Counts on notices_pkey and notices_parked_idx.
UPDATE notices
SET state = 'pending', attempts = 0, due_at = $2, settled_at = NULL
WHERE state = 'parked' AND ($1 = '' OR id = $1);
