-- insert_user: make a user who can sign in.
--
-- $1 text         id
-- $2 text         identifier; '' for none
-- $3 text         password_hash; '' for none
-- $4 boolean      is_active
-- $5 text[]       roles
-- $6 timestamptz  created_at
-- $7 text         email; '' for none
--
-- Fails with 23505 on users_pkey or users_identifier_key.
INSERT INTO users (id, identifier, password_hash, is_active, roles, created_at, email)
VALUES ($1, NULLIF($2, ''), NULLIF($3, ''), $4, $5, $6, NULLIF($7, ''));
