-- +goose Up

-- Where and how unusual. session_logs says what was unusual about a sign-in or a
-- refresh: the names of package risk, and the sum of their points as the rules
-- were at that time.
ALTER TABLE user_sessions ADD COLUMN asn bigint;
ALTER TABLE session_logs
    ADD COLUMN asn        bigint,
    ADD COLUMN risk_score integer,  -- null: nothing was unusual, or nobody looked
    ADD COLUMN signals    text[];

-- What else came from an address: the guide's question about more than ten
-- sign-ins from one, for every attempt to sign in.
CREATE INDEX session_logs_ip_address_created_at_idx ON session_logs (ip_address, created_at DESC)
    WHERE action = 'login';

-- By what a user's devices are known again: digests of installations' ids, and
-- kinds of program and system.
CREATE TABLE known_devices (
    user_id       text        NOT NULL,
    device        text        NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    CONSTRAINT known_devices_pkey PRIMARY KEY (user_id, device),
    CONSTRAINT known_devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX known_devices_last_seen_at_idx ON known_devices (last_seen_at);

-- From where a user has signed in: networks of 24 bits (IPv4) and 48 (IPv6), no
-- addresses, with what the operator's files say of them.
CREATE TABLE known_networks (
    user_id       text        NOT NULL,
    network       cidr        NOT NULL,
    country       text,
    asn           bigint,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    CONSTRAINT known_networks_pkey PRIMARY KEY (user_id, network),
    CONSTRAINT known_networks_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX known_networks_last_seen_at_idx ON known_networks (last_seen_at);

COMMENT ON TABLE known_devices IS 'By what a user''s devices are known again; forgotten after risk.remember.';
COMMENT ON TABLE known_networks IS 'From where a user has signed in; forgotten after risk.remember.';
COMMENT ON COLUMN session_logs.signals IS 'What was unusual: docs/RISK.md.';

-- +goose Down
DROP TABLE known_networks;
DROP TABLE known_devices;
DROP INDEX session_logs_ip_address_created_at_idx;
ALTER TABLE session_logs DROP COLUMN signals, DROP COLUMN risk_score, DROP COLUMN asn;
ALTER TABLE user_sessions DROP COLUMN asn;
