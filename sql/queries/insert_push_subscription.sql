-- insert_push_subscription: let an installation be told. One that is known, as
-- another user's too, goes to this user: a device has been handed on.
--
-- $1 uuid         id
-- $2 text         user_id
-- $3 text         service
-- $4 text         digest
-- $5 bytea        sealed
-- $6 timestamptz  created_at
-- $7 bigint       how many a user may have
--
-- Returns the id: $1, or that under which the user has it already. None if the
-- user has too many. The user may be a stub that has no row yet.
WITH stub AS (
    INSERT INTO users (id) VALUES ($2) ON CONFLICT DO NOTHING
)
INSERT INTO push_subscriptions AS s (id, user_id, service, digest, sealed, created_at)
SELECT $1, $2, $3, $4, $5, $6
WHERE (SELECT count(*) FROM push_subscriptions
       WHERE user_id = $2 AND removed_at IS NULL AND digest <> $4) < $7
ON CONFLICT (digest) DO UPDATE
SET id = CASE WHEN s.user_id = excluded.user_id THEN s.id ELSE excluded.id END,
    created_at = CASE WHEN s.user_id = excluded.user_id THEN s.created_at ELSE excluded.created_at END,
    user_id = excluded.user_id, sealed = excluded.sealed, removed_at = NULL
RETURNING id;
