-- delete_push_subscription: forget an installation that its push service no
-- longer knows.
--
-- $1 uuid  id
--
-- Counts on push_subscriptions_pkey.
DELETE FROM push_subscriptions
WHERE id = $1;
