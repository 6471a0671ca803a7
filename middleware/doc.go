// Package middleware is what stands between the HTTP server and a handler, one
// concern a file.
//
// Chain returns what every request goes through, outermost first; the guards
// (Authenticator, Clients) stand in front of single routes, and handlers.Routes
// says which. The requests that matter most here are those that another service
// makes for each of its own, so nothing in the chain parses, formats or
// allocates what such a request does not need.
//
// The package hands a request on in three ways: the caller behind a bearer token
// by session.NewContext, the client behind client credentials by its own
// ClientID, and the request's id in the answer's header. It knows no store; what
// it asks of one it declares itself.
package middleware
