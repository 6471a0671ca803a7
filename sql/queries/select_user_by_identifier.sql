-- select_user_by_identifier: the user that signs in by this name.
--
-- $1 text  identifier, canonical
--
-- One row or none. Counts on users_identifier_key.
SELECT id, COALESCE(identifier, '') AS identifier, COALESCE(password_hash, '') AS password_hash,
       is_active, roles, COALESCE(email, '') AS email,
       created_at
FROM users
WHERE identifier = $1;
