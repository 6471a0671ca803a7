// Package e2e tests the program as its users meet it: the built binary as a child
// process, set up through its environment, over HTTP, on real servers. Beside
// that it looks only at what administrators and analysts rely on: the keys in
// Redis and the tables in Postgres.
//
// Tests of single endpoints share one gateway (TestGateway) and keep apart by
// using users of their own. A test that stops, freezes or fills something has
// servers of its own. Whoever takes servers (newStack) has them searched at the
// end for tokens, passwords and secrets, which may be nowhere.
package e2e
