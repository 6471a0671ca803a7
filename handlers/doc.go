// Package handlers is the gateway's HTTP interface: HTTP in, HTTP out.
//
// routes.go is the whole of it on one screen; every other file is one endpoint
// or a few that belong together: decode, call, encode. What a request goes
// through before it gets here (limits, credentials) is package middleware's, what
// an error looks like is internal/problem's, and what is decided is login's and
// the store's.
//
// JSON is written field by field (encode.go) rather than by reflection, since the
// endpoints that matter most answer thousands of times a second; and it is read
// strictly (decode.go): a field that nobody knows is a mistake that its sender
// wants to hear of.
package handlers
