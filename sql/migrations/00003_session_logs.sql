-- +goose Up

-- What happened: append-only. An event's id and created_at are fixed when it is
-- made, so writing it again changes nothing. No foreign keys: the log outlives
-- users and sessions, and a failed login may have neither.
CREATE TABLE session_logs (
    id            uuid        NOT NULL,  -- UUIDv7; for a session's ending a UUIDv8 made from its sid
    created_at    timestamptz NOT NULL,
    user_id       text,                  -- null: nobody by that name
    session_id    uuid,                  -- null: a failed login
    action        text        NOT NULL,  -- login, token_refresh, logout, session_expired
    session_token text,                  -- keyed fingerprint of session_id
    ip_address    inet,
    user_agent    text,
    device_info   text,
    success       boolean     NOT NULL,
    error_message text,                  -- why success is false
    reason        text,                  -- why the session ended
    country       text,
    CONSTRAINT session_logs_pkey PRIMARY KEY (id, created_at) -- has to contain the partition key
) PARTITION BY RANGE (created_at);

-- Months are made ahead. This catches what none covers; the job that makes
-- months empties it again.
CREATE TABLE session_logs_default PARTITION OF session_logs DEFAULT;

-- A user's log, newest first, from any point on.
CREATE INDEX session_logs_user_id_created_at_idx ON session_logs (user_id, created_at DESC, id DESC);

COMMENT ON TABLE session_logs IS 'The audit log: every login, refresh and ending, and every failed attempt.';
COMMENT ON COLUMN session_logs.session_token IS 'Keyed fingerprint of session_id; the token itself is stored nowhere.';

-- +goose Down
DROP TABLE session_logs;
