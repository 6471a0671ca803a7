-- upsert_epoch: record the epoch of a Redis partition.
--
-- $1 integer  partition
-- $2 text     epoch
INSERT INTO redis_partitions (partition, epoch)
VALUES ($1, $2)
ON CONFLICT (partition) DO UPDATE SET epoch = excluded.epoch, recorded_at = now();
