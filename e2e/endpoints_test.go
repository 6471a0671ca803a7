package e2e

import "testing"

// TestGateway holds the tests that need nothing but a gateway with its ordinary
// settings, and share one. Each uses users of its own. Lines of
// the security checklist are in checklist_b_test.go and those after it.
func TestGateway(t *testing.T) {
	t.Parallel()
	g := newStack(t).start(t)
	for name, test := range map[string]func(*testing.T, *gateway){
		"login":                       testLogin,
		"login, requests":             testLoginRequests,
		"E54, cookies":                testE54Cookies,
		"E55, forged requests":        testE55ForgedRequests,
		"login, bcrypt":               testBcryptIsUpgraded,
		"backend":                     testBackend,
		"backend, clients":            testBackendClients,
		"backend, user ids":           testUserIDs,
		"backend, cap":                testCap,
		"status":                      testStatus,
		"status, refused":             testStatusRefused,
		"introspect":                  testIntrospect,
		"introspect, clients":         testIntrospectClients,
		"introspect, inactive":        testIntrospectInactive,
		"tokens, forged":              testForgedHS256,
		"redis, deadlines":            testDeadlines,
		"redis, entries from nowhere": testForeignEntries,
		"health":                      testHealth,
		"metrics":                     testMetrics,
		"routes":                      testRoutes,
		"bodies":                      testBodies,
		"headers":                     testHeaders,
		"addresses, nobody trusted":   testForwardedIsIgnored,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, g)
		})
	}
}
