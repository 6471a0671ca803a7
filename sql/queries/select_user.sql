-- select_user: one user by id.
--
-- $1 text  id
--
-- One row or none. Counts on users_pkey.
SELECT id, COALESCE(identifier, '') AS identifier, COALESCE(password_hash, '') AS password_hash,
       is_active, roles, COALESCE(email, '') AS email,
       created_at
FROM users
WHERE id = $1;
