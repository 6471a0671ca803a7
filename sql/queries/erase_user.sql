-- erase_user: take from a user what they signed in with, for good. The row stays, as
-- what is on its way through the stream refers to it.
--
-- $1 text  id
--
-- Rows affected: 1, or 0 if there is no such user.
UPDATE users
SET identifier = NULL, password_hash = NULL, roles = '{}', is_active = false, updated_at = now()
WHERE id = $1;
