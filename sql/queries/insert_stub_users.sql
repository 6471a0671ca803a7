-- insert_stub_users: make a bare row for each user that has none yet, so that
-- sessions of an application's own users can refer to it.
--
-- $1 text[]  ids, without repeats
--
-- In the order of the ids, so that two batches never wait for each other.
INSERT INTO users (id)
SELECT e.id
FROM unnest(CAST($1 AS text[])) AS e (id)
ORDER BY e.id
ON CONFLICT DO NOTHING;
