-- select_session_logs_months: the names of the months that session_logs has.
SELECT c.relname
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = CAST('session_logs' AS regclass) AND c.relname ~ '^session_logs_[0-9]{6}$'
ORDER BY c.relname;
