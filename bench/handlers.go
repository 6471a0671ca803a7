package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/tokens"
)

// bareAnswer is as long as the answer of an introspection, so that both write
// the same number of bytes.
const bareAnswer = `{"active":true,"sub":"u000000","sid":"00000000-0000-7000-8000-000000000000","jti":"0000000000000000000000",` +
	`"client_id":"gateway","iss":"http://127.0.0.1","aud":"http://127.0.0.1","exp":1700000000,"iat":1700000000,` +
	`"auth_time":1700000000,"token_type":"Bearer"}`

// The environment in which a measured handler finds what it needs.
const (
	envKey   = "BENCH_PRIVATE_KEY"
	envRedis = "BENCH_REDIS_URL"
)

// serve runs one of the handlers that the gateway is compared with and prints
// its address. All of them run on gin's router with nothing in front:
//
//	gin     answers; the measure of all things here
//	form    reads the form, verifies the token, answers: a gateway without Redis
//	pipe    the same, and asks Redis in one pipelined round trip over go-redis's pool
//	eval    the same, and asks Redis by one EVALSHA over go-redis's pool
//	scs     another session library; see newSCS
func serve(ctx context.Context, kind, addr string) error {
	handler, err := handlerOf(ctx, kind)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	if err := http.Serve(ln, handler); ctx.Err() == nil {
		return err
	}
	return nil
}

func handlerOf(ctx context.Context, kind string) (http.Handler, error) {
	if kind == "scs" {
		return newSCS(ctx)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	handle, err := ginHandler(ctx, kind)
	if err != nil {
		return nil, err
	}
	engine.POST("/", handle)
	engine.GET("/", handle)
	return engine, nil
}

func ginHandler(ctx context.Context, kind string) (gin.HandlerFunc, error) {
	answer := []byte(bareAnswer)
	send := func(c *gin.Context) { c.Data(http.StatusOK, "application/json", answer) }
	if kind == "gin" {
		return send, nil
	}
	verifier, err := newVerifier()
	if err != nil {
		return nil, err
	}
	ask := func(context.Context, string, string) (bool, error) { return true, nil }
	if kind != "form" {
		if ask, err = newAsker(ctx, kind); err != nil {
			return nil, err
		}
	}
	return func(c *gin.Context) {
		t, err := verifier.Verify(c.PostForm("token"))
		if err != nil {
			c.Status(http.StatusUnauthorized)
			return
		}
		live, err := ask(c.Request.Context(), t.UserID, string(t.SessionID))
		if err != nil || !live {
			c.Status(http.StatusServiceUnavailable)
			return
		}
		send(c)
	}, nil
}

func newVerifier() (*tokens.Verifier, error) {
	block, _ := pem.Decode([]byte(os.Getenv(envKey)))
	if block == nil {
		return nil, errors.New(envKey + " holds no key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := tokens.NewEdDSAKey(parsed.(ed25519.PrivateKey))
	if err != nil {
		return nil, err
	}
	keys, err := tokens.NewKeyring(key)
	if err != nil {
		return nil, err
	}
	return tokens.NewVerifier(keys, tokens.Options{Issuer: "sessiongate", Audience: "sessiongate", CacheSize: 65536})
}

const liveScript = `local h = redis.call('HMGET', KEYS[2], 'u', 'g', 'r', 's')
local z = redis.call('ZSCORE', KEYS[1], ARGV[1])
return {z or '', h[1] or '', h[2] or '', h[3] or '', h[4] or ''}`

// newAsker returns what asks Redis whether a session is live, as gateways do that
// take a client library as it comes.
func newAsker(ctx context.Context, kind string) (func(context.Context, string, string) (bool, error), error) {
	o, err := redis.ParseURL(os.Getenv(envRedis))
	if err != nil {
		return nil, err
	}
	db := redis.NewClient(o)
	script := redis.NewScript(liveScript)
	if err := script.Load(ctx, db).Err(); err != nil {
		return nil, err
	}
	keys := func(user, sid string) []string { return []string{"sg:{0}:user:" + user, "sg:{0}:session:" + sid} }
	switch kind {
	case "eval":
		return func(ctx context.Context, user, sid string) (bool, error) {
			reply, err := script.EvalSha(ctx, db, keys(user, sid), sid).StringSlice()
			return err == nil && reply[0] != "" && reply[1] == user, err
		}, nil
	case "pipe":
		return func(ctx context.Context, user, sid string) (bool, error) {
			k, p := keys(user, sid), db.Pipeline()
			listed, hash := p.ZScore(ctx, k[0], sid), p.HMGet(ctx, k[1], "u", "g", "r", "s")
			_, err := p.Exec(ctx)
			return err == nil && listed.Val() > 0 && hash.Val()[0] == user, err
		}, nil
	}
	return nil, fmt.Errorf("unknown handler %q, want one of %s", kind, strings.Join(handlerKinds, ", "))
}

var handlerKinds = []string{"gin", "form", "pipe", "eval", "scs"}
