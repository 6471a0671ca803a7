// Command go-api is an API behind the middleware of clients/go, as small as can
// be. It goes with `make run`:
//
//	make example-go-api
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	sessiongate "github.com/sessiongate/sessiongate/clients/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dev, err := development("../../.data/dev.env")
	if err != nil {
		return err
	}
	tokens, err := sessiongate.NewIntrospector(sessiongate.IntrospectorOptions{
		BaseURL: dev["SESSIONGATE_URL"], ClientID: dev["CLIENT_ID"], ClientSecret: dev["CLIENT_SECRET"],
	})
	if err != nil {
		return err
	}
	go tokens.Follow(ctx) // lets answers be remembered, until their session ends

	mux := http.NewServeMux()
	mux.Handle("GET /me", sessiongate.Require(tokens)(http.HandlerFunc(me)))
	server := &http.Server{
		Addr: "127.0.0.1:" + cmp.Or(os.Getenv("PORT"), "8091"), Handler: mux, ReadHeaderTimeout: 5 * time.Second,
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Printf(`An API behind sessiongate. Ask it with a token, and again after the logout:

  TOKEN=$(curl -s %[1]s/sessions/login -H 'Content-Type: application/json' \
    -d '{"identifier":"%[2]s","password":"%[3]s"}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -i http://%[4]s/me -H "Authorization: Bearer $TOKEN"
  curl -X POST %[1]s/sessions/logout -H "Authorization: Bearer $TOKEN"

`, dev["SESSIONGATE_URL"], dev["DEMO_USER"], dev["DEMO_PASSWORD"], server.Addr)
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}

// me says who asks.
func me(w http.ResponseWriter, r *http.Request) {
	s := sessiongate.FromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"user": s.Subject, "session": s.ID, "until": s.ExpiresAt})
}

// development reads where `make run` listens, and as whom to ask it.
func development(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("start the gateway first, make run: %w", err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = strings.Trim(value, "'")
	}
	return values, nil
}
