// Package archtest holds the rules about the source that a compiler does not
// know: who may import whom, what must not be linked into the program, and what
// every script and statement has to say about itself. It is all tests.
package archtest
