-- count_notices: how much there is to be told, and since when.
--
-- One row. Counts on notices_due_at_idx and notices_parked_idx.
SELECT (SELECT count(*) FROM notices WHERE state = 'pending') AS pending,
       (SELECT min(created_at) FROM notices WHERE state = 'pending') AS oldest,
       (SELECT count(*) FROM notices WHERE state = 'parked') AS parked;
