-- upsert_signing_key: store a signing key, or its new times.
--
-- $1 text         kid
-- $2 text         algorithm
-- $3 timestamptz  published_at
-- $4 timestamptz  signs_from
-- $5 timestamptz  signs_until, NULL for not yet
-- $6 timestamptz  verifies_until, NULL for not yet
-- $7 timestamptz  changed_at
-- $8 bytea        the sealed key, empty to destroy it
INSERT INTO signing_keys (kid, algorithm, published_at, signs_from, signs_until, verifies_until, changed_at, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (kid) DO UPDATE
SET signs_from = excluded.signs_from, signs_until = excluded.signs_until, verifies_until = excluded.verifies_until,
    changed_at = excluded.changed_at, sealed = excluded.sealed;
