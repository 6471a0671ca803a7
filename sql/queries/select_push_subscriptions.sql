-- select_push_subscriptions: where a user is told, oldest first.
--
-- $1 text  user_id
--
-- Counts on push_subscriptions_user_id_idx.
SELECT id, user_id, service, digest, sealed, created_at
FROM push_subscriptions
WHERE user_id = $1 AND removed_at IS NULL
ORDER BY created_at, id;
