package foreign

import "testing"

// TestLibraries: every library, with every algorithm that others can check, against
// one gateway of each. Node.js comes after the rotation and so meets two keys.
func TestLibraries(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"EdDSA", "ES256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			g := start(t, algorithm)
			for _, library := range []struct {
				name string
				test func(*testing.T, *gateway)
			}{
				{"zitadel", testZitadel},
				{"go-oidc", testGoOIDC},
				{"rotation", testRotation},
				{"node", testNode},
			} {
				t.Run(library.name, func(t *testing.T) { library.test(t, g) })
			}
		})
	}
}
