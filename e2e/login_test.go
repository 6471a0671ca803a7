package e2e

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func testLogin(t *testing.T, g *gateway) {
	for _, tt := range []struct {
		name   string
		device any
		want   sess
	}{
		{"a text", "Ana's iPhone", sess{DeviceInfo: "Ana's iPhone"}},
		{
			"an object",
			object{"name": "Ana's iPhone", "platform": "ios", "id": "dev-1"},
			sess{DeviceInfo: "Ana's iPhone (ios)", Platform: "ios", DeviceID: "dev-1"},
		},
		{"nothing", nil, sess{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := g.stack.user(t)
			c := loginCall("  "+strings.ToUpper(u.identifier)+"\t", password) // canonical all the same
			c.json.(object)["device_info"] = tt.device
			c.header = http.Header{"User-Agent": {"e2e/1.0 (" + tt.name + ")"}}
			before := time.Now().Add(-time.Second)
			got := decode[grant](t, g.do(t, c), http.StatusCreated)

			s := got.Session
			if s.DeviceInfo != tt.want.DeviceInfo || s.Platform != tt.want.Platform || s.DeviceID != tt.want.DeviceID {
				t.Errorf("device is %q, %q, %q, want %+v", s.DeviceInfo, s.Platform, s.DeviceID, tt.want)
			}
			if s.UserID != u.id || s.IPAddress != "127.0.0.1" || s.UserAgent != c.header.Get("User-Agent") ||
				s.ClientID != "sessiongate" || !slices.Equal(s.AMR, []string{"pwd"}) || !s.IsActive || !s.Current {
				t.Errorf("session is %+v", s)
			}
			if s.CreatedAt.Before(before) || s.CreatedAt.After(time.Now().Add(time.Second)) || !s.LastActivity.Equal(s.CreatedAt.Time) {
				t.Errorf("session began at %v, was last used at %v, now is %v", s.CreatedAt, s.LastActivity, time.Now())
			}
			checkGrant(t, got)
			checkLoginRow(t, g.stack, got, c.header.Get("User-Agent"))
		})
	}
}

// checkGrant holds a fresh token to its session and to the default lifetimes.
func checkGrant(t *testing.T, got grant) {
	t.Helper()
	s := got.Session
	if got.TokenType != "Bearer" || got.ExpiresIn != 1800 {
		t.Errorf("token_type %q, expires_in %d, want Bearer, 1800", got.TokenType, got.ExpiresIn)
	}
	if got.RefreshAfter > 1500 || got.RefreshAfter < 1500*95/100-1 { // iat is a whole second, up to one ago
		t.Errorf("refresh_after %d, want 1500 or up to a twentieth less", got.RefreshAfter)
	}
	if d := time.Since(got.ServerTime.Time).Abs(); d > patience {
		t.Errorf("server_time is %v away", d)
	}
	header, claims := parts(t, got.AccessToken)
	if header["typ"] != "at+jwt" || header["alg"] != "HS256" || header["kid"] == "" || len(header) != 3 {
		t.Errorf("header is %v", header)
	}
	want := object{
		"iss": "sessiongate", "aud": "sessiongate", "sub": s.UserID, "sid": s.ID, "client_id": s.ClientID,
		"exp": float64(s.ExpiresAt.Unix()),
	}
	for name, v := range want {
		if claims[name] != v {
			t.Errorf("%s is %v, want %v", name, claims[name], v)
		}
	}
	iat, _ := claims["iat"].(float64)
	if life := s.ExpiresAt.Unix() - int64(iat); life < 1800 || life > 1801 || claims["jti"] == "" || s.ExpiresAt.Nanosecond() != 0 {
		t.Errorf("iat %v, jti %v, expires_at %v", iat, claims["jti"], s.ExpiresAt)
	}
	if claims["auth_time"] == nil || claims["gen"] == nil {
		t.Errorf("claims are %v, want auth_time and gen", claims)
	}
}

// checkLoginRow holds what Postgres has of a login to what its client was told.
func checkLoginRow(t *testing.T, s *stack, got grant, userAgent string) {
	t.Helper()
	r := one(t, s.logged(t, got.Session.UserID, "login"), "login")
	if r.sid != got.Session.ID || r.device != got.Session.DeviceInfo || r.ip != got.Session.IPAddress ||
		r.userAgent != userAgent || !r.at.Equal(got.Session.CreatedAt.Time) || r.token != fingerprint(r.sid) {
		t.Errorf("row is %+v of the session %+v", r, got.Session)
	}
	const same = `
		SELECT user_id = $2 AND is_active AND session_token = $3 AND COALESCE(device_info, '') = $4
		   AND host(ip_address) = $5 AND user_agent = $6 AND created_at = $7 AND expires_at = $8
		   AND last_activity >= created_at
		FROM user_sessions WHERE id = $1`
	if !scalar[bool](t, s, same, r.sid, r.userID, r.token, r.device, r.ip, userAgent, r.at, got.Session.ExpiresAt.Time) {
		t.Errorf("user_sessions differs from %+v", got.Session)
	}
}

// fingerprint is what the column session_token holds.
func fingerprint(sid string) string {
	mac := hmac.New(sha256.New, []byte(fingerprintKey))
	mac.Write([]byte(sid))
	return hex.EncodeToString(mac.Sum(nil))
}

// typedByMistake is somebody's password, typed where the name belongs.
var typedByMistake = "oops-e2e-" + rand.Text()

func testLoginFailures(t *testing.T, g *gateway) {
	wrong, disabled, stub := g.stack.user(t), g.stack.user(t), g.stack.user(t)
	g.stack.exec(t, "UPDATE users SET is_active = false WHERE id = $1", disabled.id)
	g.stack.exec(t, "UPDATE users SET password_hash = NULL WHERE id = $1", stub.id)
	unknown := http.Header{"User-Agent": {"failures " + newID()}}
	var first *answer
	for _, tt := range []struct {
		name                 string
		identifier, password string
		where, key           string // whose rows
		row                  string
	}{
		{"wrong password", wrong.identifier, wrongPassword, "user_id = $1", wrong.id, "login! wrong password"},
		{"disabled", disabled.identifier, password, "user_id = $1", disabled.id, "login! user disabled"},
		{"no password", stub.identifier, password, "user_id = $1", stub.id, "login! wrong password"},
		{"unknown", typedByMistake, wrongPassword, "user_id IS NULL AND user_agent = $1", unknown.Get("User-Agent"), "login! unknown user"},
	} {
		c := loginCall(tt.identifier, tt.password)
		c.header = unknown
		a := g.do(t, c)
		a.problem(t, http.StatusUnauthorized, "invalid_credentials", "")
		if first == nil {
			first = &a
		}
		if got, want := alike(t, a), alike(t, *first); got != want {
			t.Errorf("%s: answer is %s, and for a wrong password %s", tt.name, got, want)
		}
		rows := g.stack.rows(t, tt.where, tt.key)
		if got := texts(rows); !slices.Equal(got, []string{tt.row}) {
			t.Errorf("%s: rows are %s, want %s", tt.name, listed(got), tt.row)
			continue
		}
		if r := rows[0]; r.sid != "" || r.token != "" || r.ip != "127.0.0.1" || r.userAgent != unknown.Get("User-Agent") {
			t.Errorf("%s: row is %+v", tt.name, r)
		}
	}
}

// alike is all that a stranger sees of an answer, but for what differs anyway.
func alike(t *testing.T, a answer) string {
	t.Helper()
	var body object
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatal(err)
	}
	delete(body, "request_id")
	h := maps.Clone(a.header)
	h.Del("X-Request-Id")
	h.Del("Date")
	b, err := json.Marshal([]any{a.status, h, body})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func testBcryptIsUpgraded(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	g.stack.exec(t, "UPDATE users SET password_hash = $2 WHERE id = $1", u.id, string(hash))
	g.do(t, loginCall(u.identifier, wrongPassword)).want(t, http.StatusUnauthorized)
	eventually(t, func() error { // while others sign in, the upgrade is left to the next login
		g.login(t, u)
		stored := scalar[string](t, g.stack, "SELECT password_hash FROM users WHERE id = $1", u.id)
		if !strings.HasPrefix(stored, "$argon2id$v=19$m=7168,t=1,p=1$") {
			return fmt.Errorf("the hash is %s, want argon2id with the configured cost", stored)
		}
		return nil
	})
	g.login(t, u)
	g.do(t, loginCall(u.identifier, wrongPassword)).want(t, http.StatusUnauthorized)
}

func testLoginRequests(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	body := func(s string) call {
		s = strings.NewReplacer("$I", u.identifier, "$P", password).Replace(s)
		return call{path: "/sessions/login", body: s, header: http.Header{"Content-Type": {"application/json"}}}
	}
	for name, c := range map[string]call{
		"empty":                    body(``),
		"no JSON":                  body(`{"identifier":"$I","password":`),
		"no object":                body(`["$I","$P"]`),
		"two values":               body(`{"identifier":"$I","password":"$P"}{}`),
		"no identifier":            body(`{"password":"$P"}`),
		"no password":              body(`{"identifier":"$I"}`),
		"null":                     body(`{"identifier":"$I","password":null}`),
		"empty identifier":         body(`{"identifier":"","password":"$P"}`),
		"a number":                 body(`{"identifier":"$I","password":42}`),
		"an unknown field":         body(`{"identifier":"$I","password":"$P","sid":"x"}`),
		"a field twice":            body(`{"identifier":"nobody","identifier":"$I","password":"$P"}`),
		"a list as device":         body(`{"identifier":"$I","password":"$P","device_info":[]}`),
		"an unknown device field":  body(`{"identifier":"$I","password":"$P","device_info":{"color":"red"}}`),
		"not UTF-8":                body("{\"identifier\":\"$I\",\"password\":\"$P\",\"device_info\":\"\xff\"}"),
		"half of a surrogate pair": body(`{"identifier":"$I","password":"$P","device_info":"\ud800"}`),
		"deeply nested":            body(strings.Repeat(`[`, 20_000)),
	} {
		p := g.do(t, c).problem(t, http.StatusBadRequest, "invalid_request", "")
		if p.Detail == "" || strings.Contains(p.Detail, password) {
			t.Errorf("%s: detail is %q", name, p.Detail)
		}
	}
	if rows := g.stack.rows(t, "user_id = $1", u.id); len(rows) > 0 {
		t.Errorf("requests that were no attempts are in the log: %s", listed(texts(rows)))
	}
}

// A storm of logins waits for itself, not for those who have a token; and what
// is turned away is no attempt, so it is not in the log.
func TestLoginStorm(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t, "SESSIONGATE_PASSWORDS_CONCURRENCY=1", "SESSIONGATE_PASSWORDS_MAX_WAIT=50ms",
		"SESSIONGATE_PASSWORDS_MEMORY_KIB=19456")
	u := s.user(t)
	s.exec(t, "UPDATE users SET password_hash = NULL WHERE id = $1", u.id) // each login costs the configured hash
	token := g.open(t, u.id).AccessToken

	const logins = 40
	answers := make([]answer, logins)
	var storm sync.WaitGroup
	for i := range answers {
		storm.Go(func() {
			a, err := g.send(t.Context(), loginCall(u.identifier, password))
			if err != nil {
				t.Error(err)
			}
			answers[i] = a
		})
	}
	over := make(chan struct{})
	go func() { storm.Wait(); close(over) }()
	var asked []time.Duration
	for under := true; under; {
		asked = append(asked, g.do(t, statusCall(token)).want(t, http.StatusOK).took)
		select {
		case <-over:
			under = false
		default:
		}
	}
	slices.Sort(asked)
	if middle := asked[len(asked)/2]; middle > time.Second {
		t.Errorf("during the storm a status took %v, want it to wait for no login", middle)
	}
	count := map[int]int{}
	for _, a := range answers {
		count[a.status]++
		if a.status == http.StatusServiceUnavailable {
			a.problem(t, http.StatusServiceUnavailable, "overloaded", "")
		}
	}
	if count[401] == 0 || count[503] == 0 || count[401]+count[503] != logins {
		t.Errorf("answers by status: %v, want some of 401 and 503", count)
	}
	want := slices.Repeat([]string{"login! wrong password"}, count[401])
	s.logged(t, u.id, append(want, "login")...)
}
