-- +goose Up

-- The keys that tokens are signed with, where tokens.keys is managed. A key is
-- sealed with tokens.sealing_key; what it does at a time follows from the times:
-- next until signs_from, current until signs_until, previous until verifies_until,
-- then retired. The key without a signs_until is the last of the chain.
CREATE TABLE signing_keys (
    kid            text        PRIMARY KEY,         -- RFC 7638 thumbprint
    algorithm      text        NOT NULL,            -- RFC 7518 §3.1
    published_at   timestamptz NOT NULL,
    signs_from     timestamptz NOT NULL,
    signs_until    timestamptz,                     -- NULL: no successor yet
    verifies_until timestamptz,
    changed_at     timestamptz NOT NULL,
    sealed         bytea       NOT NULL,            -- empty once the key has been destroyed
    CHECK (signs_from >= published_at),
    CHECK (verifies_until IS NOT NULL OR signs_until IS NULL)
);

COMMENT ON TABLE signing_keys IS 'The keys that tokens are signed with, sealed, and when each does its work.';

-- +goose Down
DROP TABLE signing_keys;
