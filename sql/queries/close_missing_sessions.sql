-- close_missing_sessions: end sessions that Redis no longer has, each with its
-- one row in session_logs. What has run out by the time of the look expired, at
-- the moment it ran out, be it that nobody refreshed it or that its user did
-- nothing; the rest was removed, at the time of the look. That is decided from the
-- row as it is once it is locked.
--
-- $1 uuid[]       id of the session
-- $2 uuid[]       id of its ending
-- $3 timestamptz  when it was looked for in Redis
--
-- Returns how many were ended. Leaves out those that have ended meanwhile, that
-- somebody else holds (they will be met again), and that have a dead letter,
-- which may be their ending. Counts on user_sessions_pkey and
-- session_logs_dead_session_id_idx.
WITH gone AS (
    SELECT s.id, e.ending_id, LEAST(s.expires_at, s.active_at + s.idle_timeout * CAST('1 second' AS interval)) AS due
    FROM user_sessions AS s
    JOIN unnest(CAST($1 AS uuid[]), CAST($2 AS uuid[])) AS e (id, ending_id) ON e.id = s.id
    WHERE s.end_reason IS NULL
      AND NOT EXISTS (
          SELECT FROM session_logs_dead AS d
          WHERE d.session_id = CAST(s.id AS text) AND d.handled_at IS NULL)
    ORDER BY s.id
    FOR UPDATE OF s SKIP LOCKED
), closed AS (
    UPDATE user_sessions AS s
    SET is_active = false,
        ended_at = LEAST(gone.due, CAST($3 AS timestamptz)),
        end_reason = CASE
            WHEN gone.due > CAST($3 AS timestamptz) THEN 'removed_in_redis'
            WHEN gone.due < s.expires_at THEN 'idle_timeout'
            WHEN s.expires_at >= s.absolute_expires_at THEN 'absolute_timeout'
            ELSE 'expired' END
    FROM gone
    WHERE s.id = gone.id AND s.end_reason IS NULL
    RETURNING gone.ending_id, s.id, s.user_id, s.session_token, s.ip_address, s.user_agent, s.device_info,
              s.country, s.asn, s.ended_at, s.end_reason
), logged AS (
    INSERT INTO session_logs (
        id, created_at, user_id, session_id, action, session_token, ip_address, user_agent, device_info,
        country, asn, success, reason)
    SELECT ending_id, ended_at, user_id, id,
           CASE WHEN end_reason = 'removed_in_redis' THEN 'logout' ELSE 'session_expired' END,
           session_token, ip_address, user_agent, device_info, country, asn, true, end_reason
    FROM closed
    ORDER BY ending_id
    ON CONFLICT (id, created_at) DO NOTHING
)
SELECT count(*) FROM closed;
