-- select_ended_sessions: a page of a user's ended sessions, latest activity first.
--
-- $1 text         user_id
-- $2 timestamptz  last_activity of the last one of the page before; infinity for the first page
-- $3 uuid         its id
-- $4 bigint       how many at most
--
-- Counts on user_sessions_user_id_ended_activity_idx.
SELECT id, user_id, COALESCE(device_info, '') AS device_info, COALESCE(device_id, '') AS device_id,
       COALESCE(device_platform, '') AS device_platform, COALESCE(host(ip_address), '') AS ip_address,
       COALESCE(user_agent, '') AS user_agent, COALESCE(client_id, '') AS client_id,
       COALESCE(scope, '') AS scope, amr, created_at, last_activity, expires_at, absolute_expires_at,
       ended_at, end_reason, COALESCE(country, '') AS country, COALESCE(asn, 0) AS asn
FROM user_sessions
WHERE user_id = $1 AND NOT is_active AND (ended_activity, id) < (CAST($2 AS timestamptz), CAST($3 AS uuid))
ORDER BY ended_activity DESC, id DESC
LIMIT $4;
