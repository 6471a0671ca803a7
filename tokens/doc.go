// Package tokens turns session.Token into a signed JWT (RFC 9068 access token)
// and back. It is the only package that knows what a JWT is.
//
// The idea to hold in mind: a token is accepted only in the form in which Issuer
// writes it, and nothing in it is believed before its signature holds.
//
//   - The header is not parsed at all. Each Key has exactly one header, and a
//     token's first segment must be one of those, byte for byte. So alg, kid and
//     typ cannot disagree with the key, "crit", "jku", "x5u" and "jwk" cannot
//     occur, and a stranger's kid never reaches anything but a map of ours
//     (RFC 8725 §3.1, §3.10, §3.11). A consequence: of the two spellings that
//     RFC 9068 §4 names, only "at+jwt" is accepted, the one we write.
//   - The payload is decoded after the signature has been checked. Claims we do
//     not know are ignored (RFC 7519 §4), so that two versions of the gateway can
//     run side by side; those we know must be there once, with the right type.
//
// Keys change while tokens are about. A Keyring holds all that sign, will sign or
// still verify, with the times of each, and swaps them at once; Shared keeps one
// the same on several gateways.
//
// golang-jwt supplies the algorithms. Its parser is not used: it decodes claims
// before it checks the signature, lets the last of two members of the same name
// win, matches claim names without regard to case and passes over line breaks
// within a segment. Tests hold that whatever Verify accepts, the parser would
// have accepted, too.
//
// A valid signature says that the gateway once issued the token, and no more:
// whether its session still lives is for store.Redis to say.
package tokens
