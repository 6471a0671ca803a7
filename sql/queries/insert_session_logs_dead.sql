-- insert_session_logs_dead: park events that can't be written.
--
-- $1 integer[]  partition
-- $2 text[]     stream_id
-- $3 text[]     digest of the fields
-- $4 text[]     event_id
-- $5 text[]     session_id
-- $6 text[]     sqlstate
-- $7 text[]     error
-- $8 text[]     payload, JSON
--
-- Rows affected: those that were not parked before.
INSERT INTO session_logs_dead (partition, stream_id, digest, event_id, session_id, sqlstate, error, payload)
SELECT e.partition, e.stream_id, e.digest, NULLIF(e.event_id, ''), NULLIF(e.session_id, ''), e.sqlstate,
       e.error, CAST(e.payload AS jsonb)
FROM unnest(CAST($1 AS integer[]), CAST($2 AS text[]), CAST($3 AS text[]), CAST($4 AS text[]),
            CAST($5 AS text[]), CAST($6 AS text[]), CAST($7 AS text[]), CAST($8 AS text[]))
     AS e (partition, stream_id, digest, event_id, session_id, sqlstate, error, payload)
ORDER BY e.partition, e.stream_id, e.digest
ON CONFLICT (partition, stream_id, digest) DO NOTHING;
