-- update_user_active: let a user sign in, or not.
--
-- $1 text     id
-- $2 boolean  is_active
--
-- Rows affected: 1, or 0 if there is no such user.
UPDATE users
SET is_active = $2, updated_at = CASE WHEN is_active = $2 THEN updated_at ELSE now() END
WHERE id = $1;
