-- +goose Up

-- Tables by these names that are not ours belong to an application. Refuse
-- before anything is made, rather than use or alter them.
-- +goose StatementBegin
DO $$
DECLARE
    taken text;
BEGIN
    SELECT string_agg(c.relname, ', ' ORDER BY c.relname) INTO taken
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema()
      AND c.relname IN ('users', 'user_sessions', 'session_logs', 'session_logs_default',
                        'session_logs_dead', 'redis_partitions');
    IF taken IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_table',
            MESSAGE = format('schema %s already has a table named %s', current_schema(), taken),
            HINT = 'Give the gateway a database of its own, or a schema: ?search_path=… in database.url.';
    END IF;
END
$$;
-- +goose StatementEnd

-- Who can sign in. A user whose sessions a trusted backend opens is a stub: the
-- id alone, without identifier or password.
CREATE TABLE users (
    id            text        PRIMARY KEY,            -- the application's own, 1 to 255 bytes
    identifier    text,                               -- what they type to sign in, canonical
    password_hash text,                               -- PHC string (argon2id) or bcrypt
    is_active     boolean     NOT NULL DEFAULT true,  -- false: may not sign in
    roles         text[]      NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_identifier_key UNIQUE (identifier)
);

COMMENT ON TABLE users IS 'Who can sign in, and stubs for users that an application signs in itself.';

-- +goose Down
DROP TABLE users;
