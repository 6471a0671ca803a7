-- update_user_email: say where a user is told of what happens.
--
-- $1 text  id
-- $2 text  the address; '' for none
--
-- Rows affected: 0 if there is no such user. Counts on users_pkey.
UPDATE users
SET email = NULLIF($2, ''), updated_at = now()
WHERE id = $1;
