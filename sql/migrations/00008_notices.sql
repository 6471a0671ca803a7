-- +goose Up

-- Where a user is told of what happens to their sessions.
ALTER TABLE users ADD COLUMN email text;

-- Installations that take push messages. A row that was removed stays for a
-- while: what happened before is still told there, so that nobody who got into a
-- session can keep its user from hearing of it.
CREATE TABLE push_subscriptions (
    id         uuid        PRIMARY KEY,
    user_id    text        NOT NULL,
    service    text        NOT NULL,               -- webpush, fcm
    digest     text        NOT NULL,               -- of the address, keyed: one row an installation
    sealed     bytea       NOT NULL,               -- the address and its keys
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    CONSTRAINT push_subscriptions_digest_key UNIQUE (digest),
    CONSTRAINT push_subscriptions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX push_subscriptions_user_id_idx ON push_subscriptions (user_id);

COMMENT ON TABLE push_subscriptions IS 'Installations that take push messages.';

-- The outbox: what people and programs are to be told. Written in the transaction
-- that writes the event, so that neither is without the other; sent from here, at
-- least once, always under the same id.
CREATE TABLE notices (
    id          text        PRIMARY KEY,           -- made from event, channel and target
    event_id    uuid        NOT NULL,              -- session_logs.id
    event_at    timestamptz NOT NULL,
    kind        text        NOT NULL,
    channel     text        NOT NULL,              -- webhook, email, push
    target      text        NOT NULL,              -- webhook's name, address, subscription; '' once it is of no more use
    user_id     text        NOT NULL,
    event       jsonb       NOT NULL,              -- its fields, as in the stream
    state       text        NOT NULL DEFAULT 'pending',
    attempts    integer     NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL,              -- of the next attempt; while one is under way, when it counts as failed
    error       text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    settled_at  timestamptz,
    reported_at timestamptz,                       -- the user said that it was not them
    CONSTRAINT notices_state_check CHECK (state IN ('pending', 'sent', 'parked', 'dropped')),
    CONSTRAINT notices_settled_check CHECK ((state = 'pending') = (settled_at IS NULL))
);

CREATE INDEX notices_due_at_idx ON notices (due_at) WHERE state = 'pending';
CREATE INDEX notices_settled_at_idx ON notices (settled_at) WHERE state <> 'pending';
CREATE INDEX notices_parked_idx ON notices (created_at) WHERE state = 'parked';
CREATE INDEX notices_event_id_idx ON notices (event_id);

COMMENT ON TABLE notices IS 'The outbox of webhooks, mails and push messages.';

-- What a user was last told, so that they are not told the same again and again.
CREATE TABLE notice_marks (
    digest   text        PRIMARY KEY,              -- of user, kind and device
    event_id uuid        NOT NULL,
    at       timestamptz NOT NULL
);

CREATE INDEX notice_marks_at_idx ON notice_marks (at);

COMMENT ON TABLE notice_marks IS 'When a user was last told of a kind of event on a device.';

-- +goose Down
DROP TABLE notice_marks;
DROP TABLE notices;
DROP TABLE push_subscriptions;
ALTER TABLE users DROP COLUMN email;
