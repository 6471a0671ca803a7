-- select_notices: the latest notices in a state, newest first.
--
-- $1 text    state; '' for any
-- $2 bigint  how many at most
--
-- For operators: may read the whole table.
SELECT id, kind, channel, target, attempts, CAST(event AS text) AS event, user_id, state,
       COALESCE(error, '') AS error, created_at, due_at
FROM notices
WHERE $1 = '' OR state = $1
ORDER BY created_at DESC, id
LIMIT $2;
