// Package real has the tests of this module against a real gateway: the program
// that SESSIONGATE_BINARY names, or bin/sessiongate (make build). All times in them
// are real.
package real
