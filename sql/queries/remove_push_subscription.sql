-- remove_push_subscription: tell nothing more to an installation. What happened
-- before is still told.
--
-- $1 uuid         id
-- $2 text         user_id
-- $3 timestamptz  now
--
-- Rows affected: 0 if the user has none by that id. Counts on push_subscriptions_pkey.
UPDATE push_subscriptions
SET removed_at = $3
WHERE id = $1 AND user_id = $2 AND removed_at IS NULL;
