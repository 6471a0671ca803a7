-- select_session_logs: a page of a user's log, newest first.
--
-- $1 text         user_id
-- $2 text         action; '' for all
-- $3 text         session_id; '' for all
-- $4 timestamptz  from, inclusive; -infinity for the beginning
-- $5 timestamptz  to, exclusive; infinity for no end
-- $6 timestamptz  created_at of the last row of the page before; infinity for the first page
-- $7 uuid         its id
-- $8 bigint       how many at most
--
-- Counts on session_logs_user_id_created_at_idx. The condition on created_at
-- alone repeats the one on the pair, which Postgres does not prune partitions by.
SELECT id, created_at, COALESCE(CAST(session_id AS text), '') AS session_id, action, success,
       COALESCE(error_message, '') AS error_message, COALESCE(reason, '') AS reason,
       COALESCE(device_info, '') AS device_info, COALESCE(host(ip_address), '') AS ip_address,
       COALESCE(user_agent, '') AS user_agent, COALESCE(country, '') AS country
FROM session_logs
WHERE user_id = $1
  AND ($2 = '' OR action = $2)
  AND ($3 = '' OR session_id = CAST(NULLIF($3, '') AS uuid))
  AND created_at >= CAST($4 AS timestamptz) AND created_at < CAST($5 AS timestamptz)
  AND created_at <= CAST($6 AS timestamptz)
  AND (created_at, id) < (CAST($6 AS timestamptz), CAST($7 AS uuid))
ORDER BY created_at DESC, id DESC
LIMIT $8;
