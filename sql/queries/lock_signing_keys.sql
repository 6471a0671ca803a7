-- lock_signing_keys: let no other gateway change the signing keys before this
-- transaction ends.
--
-- $1 bigint  the number that all gateways lock
SELECT pg_advisory_xact_lock($1);
