-- +goose Up

-- Events that could not be written, with the reason, so that one never holds up
-- the rest. Nothing deletes them; an operator who has dealt with one sets
-- handled_at. Until then sweep and reconcile leave its session alone, since it
-- may have been the session's ending.
CREATE TABLE session_logs_dead (
    partition  integer     NOT NULL,               -- of Redis
    stream_id  text        NOT NULL,
    digest     text        NOT NULL,               -- SHA-256 of the fields: a stream id can repeat after a failover
    seen_at    timestamptz NOT NULL DEFAULT now(),
    event_id   text,
    session_id text,
    sqlstate   text        NOT NULL,               -- '' if it could not even be read
    error      text        NOT NULL,
    payload    jsonb       NOT NULL,               -- the fields; what JSON can't hold is Go-quoted
    handled_at timestamptz,
    PRIMARY KEY (partition, stream_id, digest)
);

CREATE INDEX session_logs_dead_session_id_idx ON session_logs_dead (session_id) WHERE handled_at IS NULL;

COMMENT ON TABLE session_logs_dead IS 'Events that could not be written to session_logs, and why.';

-- What the jobs remember about each partition of Redis.
CREATE TABLE redis_partitions (
    partition   integer     PRIMARY KEY,
    epoch       text        NOT NULL,               -- of the data that was last trusted
    recorded_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE redis_partitions IS 'The epoch of each Redis partition that the jobs last trusted.';

-- +goose Down
DROP TABLE redis_partitions;
DROP TABLE session_logs_dead;
