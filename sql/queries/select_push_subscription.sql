-- select_push_subscription: one subscription, also if it has just been removed.
--
-- $1 uuid  id
--
-- One row or none. Counts on push_subscriptions_pkey.
SELECT id, user_id, service, digest, sealed, created_at
FROM push_subscriptions
WHERE id = $1;
