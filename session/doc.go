// Package session is the vocabulary of the gateway: what a session, a token and
// an event are, which states a session can be in, and which errors the rest of
// the program speaks.
//
// A session is one signed-in device of one user. It starts live, moves its own
// deadline with each refresh, and ends once; nothing that ended comes back.
//
//	            refresh (generation + 1, deadline moves)
//	                ┌────┐
//	                │    ▼
//	login ───────▶  live  ───▶ ended
//	                           logout            the user's own wish
//	                           revoked           an administrator or a client, through the gateway
//	                           removed_in_redis  a key deleted by hand
//	                           evicted           the cap on sessions per user
//	                           replaced          its remembered device began another one
//	                           refresh_reused    an old token was presented again
//	                           password_changed  the user's password was, elsewhere
//	                           user_disabled     the user may not sign in any more
//	                           user_erased       the user is gone
//	                           expired           nobody refreshed in time
//	                           idle_timeout      the user did nothing for too long
//	                           absolute_timeout  its longest possible life was over
//
// A token is a pure function of the session it belongs to: its jti, iat and exp
// follow from the session's id, its generation and the times of the rotation.
// So "the same successor again" needs nothing but the session, and Redis keeps
// no token material at all.
//
// The package imports the standard library and google/uuid only. Every other
// package may import it; it imports none of them (internal/archtest checks both).
package session
