package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// checklistA is what the lines on tokens share: a gateway that signs with a secret
// that we know, and one that signs with a key of which we have the public half.
type checklistA struct{ hs, ed *gateway }

func TestChecklistA(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := newStack(t)
	c := checklistA{
		hs: s.start(t),
		ed: s.start(t, "SESSIONGATE_TOKENS_ALGORITHM=EdDSA", "SESSIONGATE_TOKENS_SECRET=",
			"SESSIONGATE_TOKENS_PRIVATE_KEY="+privatePEM(t, private)),
	}
	check(t, []line{
		{"A1 alg none, or an algorithm of the client's choice, is refused", c.a1},
		{"A2 a changed, cut or longer signature is refused", c.a2},
		{"A3 a cut or longer token, or sid, is refused", c.a3},
		{"A4 there is one spelling of a token, and an end is of the session", c.a4},
		{"A5 kid only looks up a key", c.a5},
		{"A6 keys and addresses in a header are not looked at, crit is refused", c.a6},
		{"A7 iss is compared exactly", c.a7},
		{"A8 aud has to have ours", c.a8},
		{"A9 only an access token is one", c.a9},
		{"A10 required claims are there, and required", c.a10},
		{"A11 exp, iat and nbf hold, to the leeway", c.a11},
		{"A12 a weak secret stops the start", func(t *testing.T) { checkA12(t) }},
		{"A13 a member that is there twice is refused", c.a13},
		{"A14 a long token costs nothing", c.a14},
		{"A15 three segments, no more, no fewer", c.a15},
		{"A16 ids of sessions are random, and no credential", c.a16},
	})
}

func privatePEM(t *testing.T, private any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// mint is a good token of the gateway whose secret we know, and what it is made of.
type mint struct {
	grant
	t              *testing.T
	header, claims object
}

func (c checklistA) mint(t *testing.T) mint {
	t.Helper()
	granted := c.hs.open(t, newID())
	header, claims := parts(t, granted.AccessToken)
	return mint{granted, t, header, claims}
}

// with returns the token with other claims, signed as the gateway does.
func (m mint) with(changes object) string {
	return forge(m.t, m.header, with(m.claims, changes), hs256([]byte(tokensSecret)))
}

// headed returns the token with another header, signed as the gateway does.
func (m mint) headed(changes object) string {
	return forge(m.t, with(m.header, changes), m.claims, hs256([]byte(tokensSecret)))
}

func (c checklistA) a1(t *testing.T) {
	granted := c.ed.open(t, newID())
	header, claims := parts(t, granted.AccessToken)
	public := publicKey(t, c.ed, header["kid"])
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	signers := map[string]func(string) []byte{
		"unsigned":                unsigned,
		"HMAC, the public key":    hs256(public),
		"HMAC, the key as DER":    hs256(spki),
		"HMAC, the key as PEM":    hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
		"HMAC, the key as a JWK":  hs256([]byte(b64.EncodeToString(public))),
		"a signature of all zero": func(string) []byte { return make([]byte, ed25519.SignatureSize) },
	}
	for _, alg := range []any{"none", "None", "NONE", "", "HS256", "HS512", "ES256", "RS512", "eddsa", nil, 1} {
		for signer, sign := range signers {
			c.ed.refuses(t, fmt.Sprintf("alg %v, %s", alg, signer), forge(t, with(header, object{"alg": alg}), claims, sign))
		}
	}
	c.ed.passes(t, "the token itself", granted.AccessToken)
	c.ed.stack.logged(t, granted.Session.UserID, "login") // and of nothing else
}

func (c checklistA) a2(t *testing.T) {
	for _, g := range []*gateway{c.hs, c.ed} {
		token := g.open(t, newID()).AccessToken
		segments := strings.Split(token, ".")
		for i := range segments {
			raw, err := b64.DecodeString(segments[i])
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{0, len(raw) / 2, len(raw) - 1} {
				changed := slices.Clone(raw)
				changed[at] ^= 1
				forged := slices.Clone(segments)
				forged[i] = b64.EncodeToString(changed)
				g.refuses(t, fmt.Sprintf("segment %d, a bit of byte %d", i, at), strings.Join(forged, "."))
			}
		}
		for n := 1; n <= len(segments[2]); n++ {
			g.refusesAt(t, fmt.Sprintf("%d characters fewer", n), statusCall(token[:len(token)-n]))
		}
		for _, more := range []string{"A", "AAAA", "=", ".", "%00", strings.Repeat("A", 100)} {
			g.refuses(t, "followed by "+more, token+more)
		}
		g.passes(t, "the token itself", token)
	}
}

func (c checklistA) a3(t *testing.T) {
	m := c.mint(t)
	for n := 1; n < len(m.AccessToken); n++ {
		c.hs.refusesAt(t, fmt.Sprintf("the first %d characters", n), get("/forward-auth", m.AccessToken[:n]))
	}
	sid := m.Session.ID
	for n := range len(sid) {
		c.hs.refusesAt(t, fmt.Sprintf("the first %d characters of sid", n), statusCall(m.with(object{"sid": sid[:n]})))
		if n > 0 {
			c.hs.do(t, call{method: "DELETE", path: "/sessions/my-sessions/" + sid[:n], token: m.AccessToken}).want(t, http.StatusNotFound)
		}
	}
	for _, longer := range []string{sid + "0", "0" + sid, sid + "-0", sid + "*", "{" + sid + "}", sid + sid} {
		c.hs.refuses(t, "sid "+longer, m.with(object{"sid": longer}))
	}
	c.hs.passes(t, "the token itself", m.AccessToken)
}

func (c checklistA) a4(t *testing.T) {
	m := c.mint(t)
	segments := strings.Split(m.AccessToken, ".")
	for i, segment := range segments {
		spelled := func(name, as string) {
			forged := slices.Clone(segments)
			forged[i] = as
			c.hs.refuses(t, fmt.Sprintf("segment %d, %s", i, name), strings.Join(forged, "."))
		}
		spelled("padding", segment+"=")
		spelled("a space", segment[:4]+" "+segment[4:])
		spelled("a line break", segment[:4]+"\n"+segment[4:])
		spelled("a line break at its end", segment+"\r\n")
		spelled("a tab", segment[:4]+"\t"+segment[4:])
		spelled("+ for -, / for _", strings.NewReplacer("-", "+", "_", "/").Replace(segment[:len(segment)-1])+"+")
		for _, same := range sameBytes(t, segment) {
			spelled("other bits at its end: "+same[len(same)-1:], same)
		}
	}

	// The same claims in another text are the same session's, and end with it.
	respelled := forge(t, m.header, " "+strings.Replace(payload(t, m.AccessToken), `"sub"`, `"\u0073ub"`, 1), hs256([]byte(tokensSecret)))
	c.hs.passes(t, "another text of the claims", respelled)
	c.hs.do(t, logoutCall(m.AccessToken)).want(t, http.StatusNoContent)
	c.hs.over(t, respelled, "logged_out_or_revoked")
}

// sameBytes returns the other texts that a lenient reader takes for the segment.
func sameBytes(t *testing.T, segment string) (others []string) {
	t.Helper()
	want, err := b64.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	head, last := segment[:len(segment)-1], segment[len(segment)-1]
	for c := nextBase64(last); c != last; c = nextBase64(c) {
		if got, err := b64.DecodeString(head + string(c)); err == nil && string(got) == string(want) {
			others = append(others, head+string(c))
		}
	}
	return others
}

// soon is more than any refusal without a store takes, on a machine that does a lot
// beside. The checklist says 5 ms.
const soon = 50 * time.Millisecond

func (c checklistA) a5(t *testing.T) {
	m := c.mint(t)
	for name, kid := range map[string]any{
		"a path": "../../dev/null", "SQL": "' OR 1=1--", "10 kB": strings.Repeat("k", 7400), "NUL": "a\x00b", "a line break": "a\r\n{\"level\":\"INFO\"}",
		"a list": []any{m.header["kid"]}, "a number": 1, "an object": object{"kid": m.header["kid"]}, "nothing": nil, "null": json.RawMessage("null"),
		"empty": "", "in another case": strings.ToUpper(m.header["kid"].(string)), "a space after it": m.header["kid"].(string) + " ",
	} {
		token := m.headed(object{"kid": kid})
		c.hs.refuses(t, "kid, "+name, token)
		fastest := time.Hour
		for range 10 {
			fastest = min(fastest, c.hs.do(t, statusCall(token)).took)
		}
		if fastest > soon {
			t.Errorf("kid, %s: refused in %v at best, want less than %v", name, fastest, soon)
		}
	}
	for line := range strings.Lines(c.hs.stderr()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is %q, want JSON", line)
		}
	}
	c.hs.stack.logged(t, m.Session.UserID, "login")
}

func (c checklistA) a6(t *testing.T) {
	m := c.mint(t)
	address, hits := trap(t)
	header, claims := parts(t, c.ed.open(t, newID()).AccessToken)
	public, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := object{"kty": "OKP", "crv": "Ed25519", "x": b64.EncodeToString(public), "kid": header["kid"], "alg": "EdDSA"}
	for name, more := range map[string]object{
		"jku": {"jku": address}, "x5u": {"x5u": address}, "jwk": {"jwk": jwk}, "x5c": {"x5c": []string{"MAo="}},
		"all of them": {"jku": address, "x5u": address, "jwk": jwk, "x5c": []string{"MAo="}},
		"crit":        {"crit": []string{"exp"}}, "crit, empty": {"crit": []string{}}, "b64": {"b64": false, "crit": []string{"b64"}},
		"cty": {"cty": "JWT"}, "a kid of its own": {"jwk": jwk, "kid": "theirs"},
	} {
		c.hs.refuses(t, name, m.headed(more))
		c.ed.refuses(t, name+", signed with the key in it", forge(t, with(header, more), claims, func(signed string) []byte {
			return ed25519.Sign(stranger, []byte(signed))
		}))
	}
	if n := hits.Load(); n > 0 {
		t.Errorf("the gateway came %d times for a key that a token told it of", n)
	}
	c.hs.passes(t, "the token itself", m.AccessToken)
}

// trap listens, and counts who comes.
func trap(t *testing.T) (address string, hits *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hits = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			hits.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "http://" + l.Addr().String() + "/jwks.json", hits
}

func (c checklistA) a7(t *testing.T) {
	m := c.mint(t)
	for _, iss := range []any{
		"another", "sessiongate/", "Sessiongate", " sessiongate", "sessiongate ", "", "https://sessiongate", []string{"sessiongate"}, 1, true, object{},
	} {
		c.hs.refuses(t, fmt.Sprintf("iss %q", iss), m.with(object{"iss": iss}))
	}
	c.hs.passes(t, "our iss", m.with(object{"iss": "sessiongate"}))
}

func (c checklistA) a8(t *testing.T) {
	m := c.mint(t)
	for _, aud := range []any{
		nil, "another", "", "sessiongate/", []string{"another"}, []string{}, []string{""}, []any{1}, []any{[]string{"sessiongate"}}, object{"sessiongate": true}, 1,
	} {
		c.hs.refuses(t, fmt.Sprintf("aud %q", aud), m.with(object{"aud": aud}))
	}
	// A token for several is a token for us (RFC 7519 §4.1.3).
	c.hs.passes(t, "ours among others", m.with(object{"aud": []string{"another", "sessiongate"}}))
}

func (c checklistA) a9(t *testing.T) {
	m := c.mint(t)
	for _, typ := range []any{"JWT", "jwt", "application/at+jwt", "AT+JWT", "at+jwt ", "", nil, "refresh+jwt", "token-introspection+jwt", "logout+jwt", 1} {
		c.hs.refuses(t, fmt.Sprintf("typ %v", typ), m.headed(object{"typ": typ}))
	}
	c.hs.refuses(t, "an ID token", forge(t, with(m.header, object{"typ": "JWT"}),
		object{"iss": "sessiongate", "aud": "sessiongate", "sub": m.Session.UserID, "exp": m.claims["exp"], "iat": m.claims["iat"], "nonce": "n"},
		hs256([]byte(tokensSecret))))

	// What the gateway signs and is no access token: the answer to an introspection.
	ask := introspectCall(c.ed.open(t, newID()).AccessToken)
	ask.header = http.Header{"Accept": {"application/token-introspection+jwt"}}
	answer := c.ed.do(t, ask).want(t, http.StatusOK).body
	if header, _ := parts(t, answer); header["typ"] != "token-introspection+jwt" {
		t.Fatalf("the signed answer has the header %v", header)
	}
	c.ed.refuses(t, "a signed introspection", answer)
}

func (c checklistA) a10(t *testing.T) {
	m := c.mint(t)
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "sid"} {
		if m.claims[name] == nil {
			t.Errorf("a token has no %s: %v", name, m.claims)
		}
		c.hs.refuses(t, "no "+name, m.with(object{name: nil}))
		c.hs.refuses(t, name+" null", m.with(object{name: json.RawMessage("null")}))
		c.hs.refuses(t, name+" true", m.with(object{name: true}))
	}
	c.hs.passes(t, "the token itself", m.AccessToken)
}

func (c checklistA) a11(t *testing.T) {
	m := c.mint(t)
	now := time.Now().Unix()
	for name, changes := range map[string]object{
		"exp, a text": {"exp": fmt.Sprint(now + 60)}, "exp, 1e308": {"exp": json.RawMessage("1e308")}, "exp, negative": {"exp": -1},
		"exp, zero": {"exp": 0}, "exp, a fraction": {"exp": json.RawMessage(fmt.Sprintf("%d.5", now+60))}, "exp, a list": {"exp": []int64{now + 60}},
		"exp, beyond int64": {"exp": json.RawMessage("9999999999999999999")}, "exp, milliseconds": {"exp": (now + 60) * 1000},
		"iat, to come": {"iat": now + 65}, "iat, a text": {"iat": fmt.Sprint(now)}, "nbf, to come": {"nbf": now + 65}, "nbf, a text": {"nbf": fmt.Sprint(now)},
	} {
		c.hs.refuses(t, name, m.with(changes))
	}
	c.hs.over(t, m.with(object{"exp": now - 6}), "expired") // the leeway is 5 s
	c.hs.passes(t, "exp, to come", m.with(object{"exp": now + 60}))
	c.hs.passes(t, "nbf, now", m.with(object{"nbf": now}))
	refused(t, nowhere("SESSIONGATE_TOKENS_LEEWAY=61s"), 2, []string{"tokens.leeway", "1m"}, "serve")
}

func checkA12(t *testing.T) {
	for _, secret := range []string{
		"secret", "0123456789012345678901234567890", strings.Repeat("a", 40), strings.Repeat("abcd", 10),
		"your-256-bit-secret-your-256-bit-secret", "changeme-changeme-changeme-changeme",
	} {
		code, p := run(t, nowhere("SESSIONGATE_TOKENS_SECRET="+secret), "serve")
		out := p.output()
		if code != 2 || !strings.Contains(out, "tokens.secret") || !strings.Contains(out, "32") {
			t.Errorf("%q: code %d, want 2 and tokens.secret named:\n%s", secret, code, out)
		}
		if len(secret) > 10 && strings.Contains(out, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
}

func (c checklistA) a13(t *testing.T) {
	m, victim := c.mint(t), c.mint(t)
	ours := hs256([]byte(tokensSecret))
	text, kid := payload(t, m.AccessToken), m.header["kid"].(string)
	for name, claims := range map[string]string{
		"sub, another first":    strings.Replace(text, "{", `{"sub":"`+victim.Session.UserID+`",`, 1),
		"sub, another last":     strings.TrimSuffix(text, "}") + `,"sub":"` + victim.Session.UserID + `"}`,
		"sub, the same":         strings.TrimSuffix(text, "}") + `,"sub":"` + m.Session.UserID + `"}`,
		"sub, spelled apart":    strings.TrimSuffix(text, "}") + `,"\u0073ub":"` + victim.Session.UserID + `"}`,
		"exp":                   strings.TrimSuffix(text, "}") + `,"exp":9999999999}`,
		"a member nobody knows": strings.TrimSuffix(text, "}") + `,"x":1,"x":2}`,
	} {
		c.hs.refuses(t, name, forge(t, m.header, claims, ours))
	}
	for name, header := range map[string]string{
		"alg, none first": `{"alg":"none","alg":"HS256","kid":"` + kid + `","typ":"at+jwt"}`,
		"alg, none last":  `{"alg":"HS256","kid":"` + kid + `","typ":"at+jwt","alg":"none"}`,
		"kid":             `{"alg":"HS256","kid":"x","kid":"` + kid + `","typ":"at+jwt"}`,
	} {
		c.hs.refuses(t, name, forge(t, header, text, ours))
	}
	c.hs.passes(t, "the token itself", m.AccessToken)
}

func (c checklistA) a14(t *testing.T) {
	const length, times = 12 << 10, 200
	allocated := func(token string) float64 {
		t.Helper()
		before, err := c.ed.metric(t.Context(), "go_memstats_alloc_bytes_total")
		if err != nil {
			t.Fatal(err)
		}
		for range times {
			a := c.ed.do(t, statusCall(token))
			if a.status != http.StatusUnauthorized {
				t.Fatalf("%s, want 401", a)
			}
		}
		after, err := c.ed.metric(t.Context(), "go_memstats_alloc_bytes_total")
		if err != nil {
			t.Fatal(err)
		}
		return (after - before) / times
	}
	// A library that splits first makes sixteen bytes of each dot (CVE-2025-30204).
	plain, dots := allocated(strings.Repeat("A", length)), allocated(strings.Repeat(".", length))
	if dots > plain+length {
		t.Errorf("a token of dots costs %.0f bytes, one of letters %.0f", dots, plain)
	}
	a := c.ed.do(t, statusCall(strings.Repeat(".", 1<<16)))
	if a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d for 64 kB of dots, want 431", a.status)
	}
	for _, token := range []string{strings.Repeat(".", length), strings.Repeat("eyJhbGciOiJIUzI1NiJ9.", 300)} {
		c.ed.inactive(t, token)
	}
}

func (c checklistA) a15(t *testing.T) {
	for _, g := range []*gateway{c.hs, c.ed} {
		token := g.open(t, newID()).AccessToken
		s := strings.Split(token, ".")
		for n, segments := range map[string][]string{
			"1": s[:1], "2": s[:2], "2, no header": s[1:], "3, no signature": {s[0], s[1], ""}, "3, no claims": {s[0], "", s[2]},
			"3, no header": {"", s[1], s[2]}, "4": {s[0], s[1], s[2], ""}, "4, the token twice at its end": {s[0], s[1], s[2], s[2]},
			"5, a JWE": {s[0], s[1], s[2], s[1], s[2]}, "5, an empty key": {s[0], "", s[1], s[1], s[2]}, "6": append(slices.Clone(s), s...),
		} {
			g.refuses(t, n+" segments", strings.Join(segments, "."))
		}
		g.passes(t, "the token itself", token)
	}
}

// randomBits are those of a UUIDv7 that are (RFC 9562 §5.7): rand_a and rand_b.
const randomBits = 74

// The checklist asks for 128 random bits where the id is what lets one in. Here it
// never is: a token is, whose signature nobody can guess.
func (c checklistA) a16(t *testing.T) {
	const logins = 600
	ids := c.sids(t, logins)
	seen := make(map[string]bool)
	var ones [128]int
	for _, id := range ids {
		raw := strings.ReplaceAll(id, "-", "")
		tail := raw[13:16] + raw[16:] // behind time and version
		if seen[tail] {
			t.Fatalf("two sessions have the same random part: %s", id)
		}
		seen[tail] = true
		for bit := range ones {
			var digit int
			if _, err := fmt.Sscanf(raw[bit/4:bit/4+1], "%x", &digit); err != nil {
				t.Fatal(err)
			}
			ones[bit] += digit >> (3 - bit%4) & 1
		}
	}
	random := 0
	for _, n := range ones {
		// Fifteen percent off the middle is seven standard deviations.
		if share := float64(n) / logins; share > 0.35 && share < 0.65 {
			random++
		}
	}
	if random < randomBits {
		t.Errorf("%d bits of a sid look random, want %d", random, randomBits)
	}
	for _, id := range ids[:3] {
		c.hs.refuses(t, "the sid for a token", id)
	}
}

func (c checklistA) sids(t *testing.T, n int) []string {
	t.Helper()
	ids, ctx := make([]string, n), t.Context()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			user := newID()
			for i := worker; i < n; i += 8 {
				ids[i] = c.sid(ctx, user)
			}
		})
	}
	wg.Wait()
	if i := slices.Index(ids, ""); i >= 0 {
		t.Fatalf("no session was opened at try %d", i)
	}
	return ids
}

func (c checklistA) sid(ctx context.Context, user string) string {
	a, err := c.hs.send(ctx, openCall(user))
	var granted grant
	if err != nil || json.Unmarshal([]byte(a.body), &granted) != nil {
		return ""
	}
	return granted.Session.ID
}
