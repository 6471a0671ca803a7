-- create_month: give a month of session_logs a partition of its own, with the
-- rows that had to go to the default one. Run it in a transaction.
--
-- {{name}}  name of the partition
-- {{from}}  the month's first moment
-- {{to}}    the next month's first moment
--
-- Attaching takes no lock on session_logs that a flush would wait for, which
-- CREATE TABLE … PARTITION OF does. The default partition is locked first: a row
-- for the month that arrived between moving and attaching would make it fail.
LOCK TABLE session_logs_default IN ACCESS EXCLUSIVE MODE;

CREATE TABLE {{name}} (LIKE session_logs INCLUDING ALL);

WITH moved AS (
    DELETE FROM session_logs_default
    WHERE created_at >= '{{from}}' AND created_at < '{{to}}'
    RETURNING *
)
INSERT INTO {{name}} SELECT * FROM moved;

ALTER TABLE session_logs ATTACH PARTITION {{name}} FOR VALUES FROM ('{{from}}') TO ('{{to}}');
