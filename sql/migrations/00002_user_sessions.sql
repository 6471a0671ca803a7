-- +goose Up

-- Every session that began, written from its events by merges that give the same
-- row in any order of arrival. Redis says who is signed in; this says who was.
--
-- Most updates move last_activity alone. They stay HOT (no index is touched) as
-- long as no index has that column, not even a partial one that leaves the row
-- out: hence ended_activity. fillfactor leaves room for them on the row's page.
CREATE TABLE user_sessions (
    id                  uuid        PRIMARY KEY,            -- the sid, a UUIDv7: public, never a credential
    user_id             text        NOT NULL,
    session_token       text        NOT NULL,               -- keyed fingerprint of the sid
    device_info         text,
    device_id           text,
    device_platform     text,
    ip_address          inet,                               -- where it began
    user_agent          text,                               -- with which it began
    country             text,
    client_id           text,
    scope               text,
    amr                 text[],                             -- RFC 8176
    is_active           boolean     NOT NULL DEFAULT true,
    created_at          timestamptz NOT NULL,               -- the time inside the id
    last_activity       timestamptz NOT NULL,               -- only grows
    expires_at          timestamptz NOT NULL,               -- only grows
    absolute_expires_at timestamptz,                        -- no refresh goes beyond it
    ended_at            timestamptz,
    end_reason          text,                               -- set once: session.EndReason
    from_login          boolean     NOT NULL DEFAULT false, -- the login event has been merged: it has the last word
    ended_activity      timestamptz GENERATED ALWAYS AS (CASE WHEN is_active THEN NULL ELSE last_activity END) STORED,

    CONSTRAINT user_sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT user_sessions_ended_check
        CHECK (is_active = (end_reason IS NULL) AND is_active = (ended_at IS NULL))
) WITH (fillfactor = 85);

-- The sweep: what has run out and is not closed yet.
CREATE INDEX user_sessions_expires_at_idx ON user_sessions (expires_at) WHERE is_active;

-- Reconcile: pages through what is active, however much has ended.
CREATE INDEX user_sessions_active_id_idx ON user_sessions (id) WHERE is_active;

-- A user's ended sessions, latest activity first; and all of a user's, for the
-- cascade from users.
CREATE INDEX user_sessions_user_id_ended_activity_idx
    ON user_sessions (user_id, ended_activity DESC, id DESC);

COMMENT ON TABLE user_sessions IS 'One row per session, active or ended.';
COMMENT ON COLUMN user_sessions.session_token IS 'Keyed fingerprint of id; the token itself is stored nowhere.';
COMMENT ON COLUMN user_sessions.from_login IS 'Internal: whether the login event has been merged.';
COMMENT ON COLUMN user_sessions.ended_activity IS 'Internal: last_activity once the session has ended.';

-- +goose Down
DROP TABLE user_sessions;
