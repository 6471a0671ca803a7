-- claim_notices: take notices that are due, for one attempt each. Until the lease
-- ends nobody else takes them; if nothing is heard by then, somebody tries again.
--
-- $1 timestamptz  now
-- $2 timestamptz  end of the lease
-- $3 bigint       how many at most
-- $4 text[]       lanes to leave alone: email, push, webhook:<name>
--
-- Skips what another gateway is just taking. Counts on notices_due_at_idx.
WITH due AS (
    SELECT id
    FROM notices
    WHERE state = 'pending' AND due_at <= $1
      AND NOT (CASE channel WHEN 'webhook' THEN 'webhook:' || target ELSE channel END = ANY (CAST($4 AS text[])))
    ORDER BY due_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
UPDATE notices AS n
SET attempts = n.attempts + 1, due_at = $2
FROM due
WHERE n.id = due.id
RETURNING n.id, n.kind, n.channel, n.target, n.attempts, CAST(n.event AS text) AS event;
