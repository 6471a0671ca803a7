-- update_user_password: replace a password hash that is still what it was.
--
-- $1 text  id
-- $2 text  the hash to replace; '' for whichever
-- $3 text  the new hash
--
-- Rows affected: 1, or 0 if there is no such user or the hash is another one.
UPDATE users
SET password_hash = $3, updated_at = now()
WHERE id = $1 AND ($2 = '' OR password_hash = $2);
