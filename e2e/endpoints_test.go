package e2e

import "testing"

// TestGateway holds the tests that need nothing but a gateway with its ordinary
// settings, and share one. Each uses users of its own.
func TestGateway(t *testing.T) {
	t.Parallel()
	g := newStack(t).start(t)
	for name, test := range map[string]func(*testing.T, *gateway){
		"login":                       testLogin,
		"login, who failed and why":   testLoginFailures,
		"login, requests":             testLoginRequests,
		"F64, the same time":          testF64SameTime,
		"B17, new session":            testB17NewSessionAtEveryLogin,
		"B18, old session":            testB18LoginEndsTheBrowsersOldSession,
		"B31, methods":                testB31OnlyPostChangesAnything,
		"E54, cookies":                testE54Cookies,
		"E55, forged requests":        testE55ForgedRequests,
		"login, bcrypt":               testBcryptIsUpgraded,
		"backend":                     testBackend,
		"backend, clients":            testBackendClients,
		"backend, user ids":           testUserIDs,
		"backend, cap":                testCap,
		"status":                      testStatus,
		"status, refused":             testStatusRefused,
		"activity":                    testActivity,
		"my-sessions":                 testMySessions,
		"my-sessions, pages":          testMySessionsPages,
		"my-sessions, delete":         testDeleteSession,
		"my-session-logs":             testLogs,
		"my-session-logs, pages":      testLogPages,
		"refresh":                     testRefresh,
		"refresh, lost answer":        testLostAnswer,
		"refresh, fifty at once":      testFiftyRefreshes,
		"refresh, reuse":              testReuse,
		"refresh, ended":              testNothingComesBack,
		"logout":                      testLogout,
		"logout-all":                  testLogoutAll,
		"introspect":                  testIntrospect,
		"introspect, clients":         testIntrospectClients,
		"introspect, inactive":        testIntrospectInactive,
		"tokens, forged":              testForgedHS256,
		"redis, deleted keys":         testDeletedKeys,
		"redis, deadlines":            testDeadlines,
		"redis, entries from nowhere": testForeignEntries,
		"health":                      testHealth,
		"metrics":                     testMetrics,
		"routes":                      testRoutes,
		"bodies":                      testBodies,
		"headers":                     testHeaders,
		"addresses, nobody trusted":   testForwardedIsIgnored,
		"texts":                       testTexts,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, g)
		})
	}
}
