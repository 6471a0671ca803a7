-- select_locked_out_users: users who may not sign in and have sessions that have
-- not ended.
--
-- $1 bigint  how many at most
--
-- Counts on users_disabled_idx and user_sessions_user_id_ended_activity_idx, in
-- which the active sessions are those without an ended_activity.
SELECT u.id
FROM users AS u
WHERE NOT u.is_active AND EXISTS (
    SELECT FROM user_sessions AS s
    WHERE s.user_id = u.id AND s.ended_activity IS NULL AND s.is_active)
ORDER BY u.id
LIMIT $1;
