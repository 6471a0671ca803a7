-- delete_notices: forget what has been dealt with long ago.
--
-- $1 timestamptz  notices that were settled before
-- $2 timestamptz  marks that are older
-- $3 timestamptz  subscriptions that were removed before
-- $4 bigint       how many of each at most
--
-- One row: how many notices. Counts on notices_settled_at_idx and
-- notice_marks_at_idx.
WITH old AS (
    DELETE FROM notices
    WHERE id IN (SELECT id FROM notices WHERE state <> 'pending' AND settled_at < $1 LIMIT $4 FOR UPDATE SKIP LOCKED)
    RETURNING 1
), marks AS (
    DELETE FROM notice_marks
    WHERE digest IN (SELECT digest FROM notice_marks WHERE at < $2 LIMIT $4 FOR UPDATE SKIP LOCKED)
), removed AS (
    DELETE FROM push_subscriptions
    WHERE id IN (SELECT id FROM push_subscriptions WHERE removed_at < $3 LIMIT $4 FOR UPDATE SKIP LOCKED)
)
SELECT count(*) FROM old;
