package command

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestSigningKeysStatic(t *testing.T) {
	t.Parallel()
	secret := []string{"SESSIONGATE_TOKENS_SECRET=Y2kq8yBhVvXyGmTt0eZ9rPzR4wL1nQoS7uJfKdWcAiM="}
	o := run(t, secret, "", "keys", "list")
	o.want(t, 0, "KID", "HS256", "current")
	if strings.Contains(o.stdout, "Y2kq8") {
		t.Error("it shows the secret")
	}
	run(t, nil, "", "keys", "list").want(t, 2, "tokens.secret")
	run(t, secret, "", "keys", "rotate").want(t, 2, "tokens.keys is static")
	run(t, secret, "", "keys", "retire", "x").want(t, 2, "tokens.keys is static")
	run(t, nil, "", "keys", "redis", "list").want(t, 0, "sg:{0}:user:list") // a user of that name
	run(t, nil, "", "keys", "redis", "42").want(t, 0, "sg:{0}:user:42")
}

func TestSigningKeysManaged(t *testing.T) {
	t.Parallel()
	environ := append(stores(t), "SESSIONGATE_TOKENS_KEYS=managed", "SESSIONGATE_TOKENS_ALGORITHM=ES256",
		"SESSIONGATE_TOKENS_SEALING_KEY=Zr5Tx1Vb8Nm2Lp6Hd4Gs0Fa0Jk3u7Qw9eYc")
	environ = slices.DeleteFunc(environ, func(v string) bool { return strings.Contains(v, "TOKENS_SECRET=") })
	states := func(o output) (kids []string, all string) {
		t.Helper()
		var states []string
		for _, m := range regexp.MustCompile(`(?m)^(\S{43})  ES256\s+(\w+)`).FindAllStringSubmatch(o.stdout, -1) {
			kids, states = append(kids, m[1]), append(states, m[2])
		}
		return kids, strings.Join(states, " ")
	}
	expect := func(want string, args ...string) []string {
		t.Helper()
		o := run(t, environ, "", args...)
		o.want(t, 0)
		kids, got := states(o)
		if got != want {
			t.Fatalf("%v: %q, want %q\n%s", args, got, want, o.stdout)
		}
		return kids
	}
	run(t, environ, "", "keys", "rotate").want(t, 1, "signing_keys") // no tables yet
	run(t, environ, "", "migrate").want(t, 0)
	expect("", "keys", "list")
	expect("current", "keys", "rotate") // the first one: there is nobody to wait for
	kids := expect("current next", "keys", "rotate")
	run(t, environ, "", "keys", "rotate").want(t, 1, "has been published already", "--now")
	expect("current next", "keys", "list")
	expect("previous current", "keys", "rotate", "--now")
	expect("retired current", "keys", "retire", kids[0])
	run(t, environ, "", "keys", "retire", kids[0]).want(t, 1, "no such key")
	expect("retired retired current", "keys", "retire", kids[1])
	wrong := append(environ, "SESSIONGATE_TOKENS_SEALING_KEY=Another1Vb8Nm2Lp6Hd4Gs0Fa0Jk3u7Qw9")
	run(t, wrong, "", "keys", "rotate").want(t, 1, "sealing key does not fit")
	run(t, wrong, "", "keys", "list").want(t, 0, "current")
}
