-- select_active_sessions: a page of the active sessions.
--
-- $1 uuid     the last id of the page before; all zeros for the first
-- $2 bigint   how many at most
--
-- In the order of the ids. Counts on user_sessions_active_id_idx.
SELECT id, user_id, created_at, last_activity, expires_at, idle_timeout, active_at
FROM user_sessions
WHERE is_active AND id > $1
ORDER BY id
LIMIT $2;
