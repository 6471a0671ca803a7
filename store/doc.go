// Package store keeps all state: Redis says who is signed in now, Postgres says
// what happened. Redis and Postgres are its two types, and neither knows of the
// other; the jobs carry events from one to the other.
//
// # The key space
//
// {p} is the partition of the user, 0 in a deployment on one Redis. keys.go
// spells the names.
//
//	sg:{p}:session:<sid>   hash     until the token's exp, to the millisecond; or, if that is earlier,
//	                                until its user has been idle for too long, and 2 s
//	sg:{p}:user:<user id>  zset     sid → expiry (ms), g:<grant id> → expiry (ms); until its longest-lived entry
//	sg:{p}:grant:<id>      hash     a remembered device; until it is forgotten
//	sg:{p}:seen:<user id>  hash     sid → last seen (ms), <sid>+ → when the user last did something (ms),
//	                                in sessions with an idle timeout; as the user's zset
//	sg:{p}:activity        zset     what seen holds and Postgres does not have yet
//	sg:{p}:events          stream   audit events that Postgres does not have yet; group "flush"
//	sg:{p}:failures        stream   logins that failed, likewise: bounded apart from the events
//	sg:{p}:text:<digest>   string   a text too long for a session's hash, shared by its digest
//	sg:{p}:op:<event id>   string   answer of a login, for a repeat of it; one minute
//	sg:{p}:feed            stream   sessions that ended, for caches; the last 100,000 at most
//	sg:{0}:limit:<which>   string   when a counter of attempts to sign in is empty again (Unix ms);
//	                                until then. <which> is device, network, account, prefix,
//	                                each with digests of whose, or global
//	sg:{0}:known:<digest>  zset     device or network of an account → known until (ms); 16 at most
//	sg:{p}:meta            hash     epoch, epoch_at: which life of the data this is;
//	                                feed, feed_id: number and id of the feed's last entry
//	sg:{0}:heartbeat:<id>  string   changed by each gateway with session_cache, to see that
//	                                Redis tells of changes; ten seconds
//	sg:meta                hash     partitions, schema
//	sg:keys                hash     kid → signing key, sealed; a copy of Postgres's, no TTL
//
// A session is valid only while its own key exists and the user's zset lists it,
// so deleting either ends it. Only login, refresh, the resumption of a remembered
// device and, as far as an idle timeout goes, activity ever create or extend one.
//
// A remembered device (session.Grant) is good while it is listed in the user's zset
// and the session that it began last is: that one stays listed after it has run out.
// So DEL of the user's key ends all devices, ZREM of a sid the device whose last
// session it was, and DEL of a session's key nothing but the session. What ends a
// session through the gateway ends its device's grant as well.
//
// # The session hash
//
// Names are short and values under 64 bytes, or Redis would give up the compact
// encoding (listpack) and the session would cost three times as much.
//
//	u  user id
//	g  generation: how often the token has been rotated
//	r  when the current generation began, Unix ms; absent for generation 0
//	s  "1" once the current token has been seen in use; absent before
//	a  absolute deadline, Unix s; absent for none
//	k  client id, scope, authentication methods, username and roles, tab-separated,
//	   without the empty ones at its end; text or reference
//	d  device: name, or name, platform and id, tab-separated; text or reference
//	n  IP address at login, and its country and network (ASN), tab-separated, without
//	   the empty ones at its end
//	w  user agent at login; text or reference
//	t  auth_time, Unix s, where it is not the time of creation
//	i  idle timeout, s; absent for none
//	m  id of the remembered device; absent for none
//
// # The grant hash
//
//	u  user id
//	g  generation: how often its refresh token has been rotated
//	h  digest of the current refresh token
//	p  digest of the previous one; absent for generation 0
//	e  seed with which a token's successor is made
//	r  when the current generation began, Unix ms; absent for generation 0
//	c  "1" once the answer with the current token is known to have arrived
//	s  sid of the session that it began last
//	t  auth_time: when the password was given, Unix s
//	d  device, as in the session hash
//	n  place of its last session, as in the session hash
//
// The time of creation is inside the sid. The jti, iat and exp of the current
// and the previous token follow from these (session.Session.Token); Redis holds
// no token. A reference is "@" and the digest of a text key.
package store
