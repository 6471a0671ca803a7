-- select_session_agents: with which user agents sessions began.
--
-- $1 uuid[]  id
--
-- Rows of those that are known. Counts on user_sessions_pkey.
SELECT id, COALESCE(user_agent, '') AS user_agent FROM user_sessions WHERE id = ANY (CAST($1 AS uuid[]));
