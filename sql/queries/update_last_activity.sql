-- update_last_activity: move last_activity forward, never back.
--
-- $1 uuid[]         id, without repeats
-- $2 timestamptz[]  when the session was last used
--
-- Returns the ids of those that have a row, moved or not. Locks them in the
-- order of the ids, as merge_user_sessions does. Counts on user_sessions_pkey.
WITH used AS (
    SELECT s.id, e.at
    FROM user_sessions AS s
    JOIN unnest(CAST($1 AS uuid[]), CAST($2 AS timestamptz[])) AS e (id, at) ON e.id = s.id
    ORDER BY s.id
    FOR NO KEY UPDATE OF s
), moved AS (
    UPDATE user_sessions AS s
    SET last_activity = used.at
    FROM used
    WHERE s.id = used.id AND s.last_activity < used.at
)
SELECT id FROM used;
