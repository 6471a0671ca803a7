-- select_expired_sessions: a page of the active sessions whose time is over.
--
-- $1 timestamptz  the time
-- $2 uuid         the last id of the page before; all zeros for the first
-- $3 bigint       how many at most
--
-- In the order of the ids. Counts on user_sessions_expires_at_idx.
SELECT id, user_id, created_at, last_activity, expires_at, idle_timeout, active_at
FROM user_sessions
WHERE is_active AND expires_at <= $1 AND id > $2
ORDER BY id
LIMIT $3;
