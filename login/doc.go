// Package login is the one use case of the gateway that joins many parts: a user
// proves who they are by a password and gets a session.
//
// The idea to hold in mind: from outside, all ways to fail are one. Whoever
// fails gets session.ErrInvalidCredentials after the work of one password hash,
// whether the user is unknown, disabled, or the password wrong; which of them it
// was is for the audit log alone. And nobody is answered before the log has it.
//
// Two limits of that. A hash with another cost than the configured one (bcrypt,
// or argon2id from before the configuration changed) takes another time, until
// its owner has signed in once and it has been replaced. And hashing is the one
// expensive thing that strangers can ask of the gateway, so it is rationed:
// beyond the ration the answer is session.ErrOverloaded, with no hash and no
// log.
//
// The package knows nothing of HTTP, Redis, Postgres or tokens. What handlers do
// with a session is theirs.
package login
