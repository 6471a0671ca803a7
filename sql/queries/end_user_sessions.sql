-- end_user_sessions: end sessions that have not ended yet.
--
-- $1 uuid[]         id, without repeats
-- $2 timestamptz[]  ended_at
-- $3 text[]         end_reason
--
-- Returns the ids of those that it ended: only they get a row in session_logs,
-- so that each session has one ending. The rows are locked already, by
-- merge_user_sessions. Counts on user_sessions_pkey.
UPDATE user_sessions AS s
SET is_active = false, ended_at = e.ended_at, end_reason = e.end_reason
FROM unnest(CAST($1 AS uuid[]), CAST($2 AS timestamptz[]), CAST($3 AS text[])) AS e (id, ended_at, end_reason)
WHERE s.id = e.id AND s.end_reason IS NULL
RETURNING s.id;
