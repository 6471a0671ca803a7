-- update_last_activity: move last_activity and active_at forward, never back.
--
-- $1 uuid[]         id, without repeats
-- $2 timestamptz[]  when the session was last used
-- $3 text[]         when its user last did something; '' for not known
--
-- Returns the ids of those that have a row, moved or not. Locks them in the
-- order of the ids, as merge_user_sessions does. Counts on user_sessions_pkey.
WITH used AS (
    SELECT s.id, e.at, CAST(NULLIF(e.active_at, '') AS timestamptz) AS active_at
    FROM user_sessions AS s
    JOIN unnest(CAST($1 AS uuid[]), CAST($2 AS timestamptz[]), CAST($3 AS text[])) AS e (id, at, active_at) ON e.id = s.id
    ORDER BY s.id
    FOR NO KEY UPDATE OF s
), moved AS (
    UPDATE user_sessions AS s
    SET last_activity = GREATEST(s.last_activity, used.at), active_at = GREATEST(s.active_at, used.active_at)
    FROM used
    WHERE s.id = used.id
      AND (s.last_activity < used.at OR COALESCE(s.active_at, '-infinity') < used.active_at)
)
SELECT id FROM used;
