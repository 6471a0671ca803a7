// Package notify tells people and programs what happened to sessions: by webhook,
// by mail and by push message. It decides who is told of what (Rules), words it,
// and sends one notice at a time (Notifier). That nothing is lost or told too
// often is the business of the outbox it is sent from; here, sending again is
// always the same: the same id, the same words.
//
// What a stranger chose (a device's name, a user agent) is shown with nothing in
// it that a mail program would make a link of. No message has a token, a session
// id or a link that signs anybody in. The one link there is can only end the
// session that the message is about (Links).
//
// Addresses to send to come from users and their browsers, too: so requests go
// out through a client that connects to no private address, and follows no
// redirect (Guard).
package notify
