-- lock_session_logs_months: one gateway at a time makes or drops months. Held
-- until the transaction ends; the number only has to be nobody else's.
--
-- $1 bigint  the lock
SELECT pg_advisory_xact_lock($1);
