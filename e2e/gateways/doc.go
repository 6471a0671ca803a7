// Package gateways tests the recipes of deploy/gateways: real nginx, Caddy, HAProxy
// and Apache from Debian's packages, each with the file that is shipped, in front
// of an application that says what it saw, with the built sessiongate, Redis and
// Postgres behind. Everything runs on loopback in directories of its own; no service
// of the system has a part in it.
//
// `make gateways` prints the matrix. The gateways and their modules are Debian's, so
// the tests are for Linux.
package gateways
