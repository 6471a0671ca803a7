// Package sessiongate talks to a sessiongate gateway, with the standard library
// alone.
//
// A resource server asks whether a token is good. Introspector asks the gateway,
// and remembers answers for as long as the gateway's feed of revocations vouches
// for them; Local checks signatures itself. Both are a Verifier, and Require
// makes a middleware of one:
//
//	tokens := sessiongate.NewIntrospector(sessiongate.IntrospectorOptions{
//		BaseURL: "http://127.0.0.1:8080", ClientID: "api", ClientSecret: secret,
//	})
//	go tokens.Follow(ctx) // lets answers be remembered
//	http.Handle("/orders", sessiongate.Require(tokens, "orders:read")(orders))
//
// A program that signs in, such as a command line, uses Client, which refreshes
// its session before it runs out and survives restarts.
//
// One rule holds everywhere: only a definite answer of the gateway makes a token
// bad. An outage is another kind of error, and 503, not 401.
package sessiongate
