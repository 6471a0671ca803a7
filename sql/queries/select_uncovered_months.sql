-- select_uncovered_months: the months, before one, that rows had to go to the
-- default partition for. Normally none.
--
-- $1 timestamptz  the month
SELECT DISTINCT date_trunc('month', created_at, 'UTC') AS month
FROM session_logs_default
WHERE created_at < $1
ORDER BY month;
