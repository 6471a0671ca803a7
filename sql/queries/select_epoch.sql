-- select_epoch: the epoch of a Redis partition that was last trusted.
--
-- $1 integer  partition
--
-- One row or none.
SELECT epoch FROM redis_partitions WHERE partition = $1;
