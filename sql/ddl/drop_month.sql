-- drop_month: forget a month of session_logs, in one go.
--
-- {{name}}  name of the partition
DROP TABLE {{name}};
