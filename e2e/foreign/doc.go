// Package foreign puts libraries that others wrote, and that know nothing of
// sessiongate, in front of the running program: what works here works for whoever
// uses them. For Go they are zitadel/oidc, coreos/go-oidc and lestrrat-go/jwx; for
// Node.js, in the folder node, openid-client and oauth4webapi.
//
// It is a module of its own, so that none of them becomes a dependency of
// sessiongate. `make foreign` runs it.
package foreign
