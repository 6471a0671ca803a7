-- select_users: the first users, oldest first, without their password hashes.
--
-- $1 bigint  how many at most
--
-- Reads the whole table: for administrators, not for requests.
SELECT id, COALESCE(identifier, '') AS identifier, '' AS password_hash, is_active, roles,
       COALESCE(email, '') AS email, created_at
FROM users
ORDER BY created_at, id
LIMIT $1;
