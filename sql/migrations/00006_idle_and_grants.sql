-- +goose Up

-- What tells that a session ended because its user did nothing, and which sessions
-- a remembered device began. None of it is in an index, so that activity stays HOT.
-- The tokens of remembered devices are in no table.
ALTER TABLE user_sessions
    ADD COLUMN idle_timeout integer,     -- seconds
    ADD COLUMN active_at    timestamptz, -- when the user last did something, where there is an idle timeout; only grows
    ADD COLUMN grant_id     uuid;        -- the remembered device

COMMENT ON COLUMN user_sessions.idle_timeout IS 'Seconds after active_at at which the session ends; NULL: it has no idle timeout.';
COMMENT ON COLUMN user_sessions.active_at IS 'When the user last did something; NULL without an idle timeout.';
COMMENT ON COLUMN user_sessions.grant_id IS 'The remembered device whose session this is.';

-- Those who may not sign in, whose sessions have to end.
CREATE INDEX users_disabled_idx ON users (id) WHERE NOT is_active;

-- +goose Down
DROP INDEX users_disabled_idx;
ALTER TABLE user_sessions DROP COLUMN grant_id, DROP COLUMN active_at, DROP COLUMN idle_timeout;
