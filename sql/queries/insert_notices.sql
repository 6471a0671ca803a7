-- insert_notices: put what is to be told of events into the outbox, a row for each
-- target: webhooks by name, the user's address, the user's subscriptions as they
-- were when it happened.
--
--  $1 uuid[]         id of the event
--  $2 timestamptz[]  when it happened
--  $3 text[]         kind
--  $4 text[]         user_id
--  $5 jsonb[]        the event's fields
--  $6 text[]         webhooks, separated by spaces
--  $7 boolean[]      to the user's address
--  $8 boolean[]      to the user's subscriptions
--  $9 text[]         digest of what the user is told once in a while
-- $10 float          how long that is, in seconds
--
-- What is there already stays as it is. In the order of digests and of ids, so
-- that two batches never wait for each other. Counts on notice_marks_pkey,
-- notices_pkey, users_pkey and push_subscriptions_user_id_idx.
WITH e AS (
    SELECT *
    FROM unnest(CAST($1 AS uuid[]), CAST($2 AS timestamptz[]), CAST($3 AS text[]), CAST($4 AS text[]),
                CAST($5 AS jsonb[]), CAST($6 AS text[]), CAST($7 AS boolean[]), CAST($8 AS boolean[]),
                CAST($9 AS text[]))
         AS e (event_id, event_at, kind, user_id, event, webhooks, email, push, digest)
), fresh AS (
    INSERT INTO notice_marks AS m (digest, event_id, at)
    SELECT DISTINCT ON (e.digest) e.digest, e.event_id, e.event_at
    FROM e
    WHERE e.email OR e.push
    ORDER BY e.digest, e.event_at, e.event_id
    ON CONFLICT (digest) DO UPDATE SET event_id = excluded.event_id, at = excluded.at
    WHERE m.at <= excluded.at - make_interval(secs => $10)
    RETURNING event_id
), told AS (
    SELECT e.event_id, 'webhook' AS channel, w.name AS target
    FROM e, unnest(string_to_array(NULLIF(e.webhooks, ''), ' ')) AS w (name)
    UNION ALL
    SELECT e.event_id, 'email', u.email
    FROM e
    JOIN fresh ON fresh.event_id = e.event_id
    JOIN users AS u ON u.id = e.user_id
    WHERE e.email AND u.email IS NOT NULL
    UNION ALL
    SELECT e.event_id, 'push', CAST(s.id AS text)
    FROM e
    JOIN fresh ON fresh.event_id = e.event_id
    JOIN push_subscriptions AS s ON s.user_id = e.user_id
    WHERE e.push AND s.created_at <= e.event_at AND (s.removed_at IS NULL OR s.removed_at > e.event_at)
), rows AS (
    SELECT 'ntc_' || left(encode(sha256(convert_to(
               concat_ws(E'\x1f', e.event_id, told.channel, told.target), 'UTF8')), 'hex'), 40) AS id,
           e.event_id, e.event_at, e.kind, told.channel, told.target, e.user_id, e.event
    FROM e
    JOIN told ON told.event_id = e.event_id
)
INSERT INTO notices (id, event_id, event_at, kind, channel, target, user_id, event, due_at)
SELECT id, event_id, event_at, kind, channel, target, user_id, event, event_at
FROM rows
ORDER BY id
ON CONFLICT (id) DO NOTHING;
