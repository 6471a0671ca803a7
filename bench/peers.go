package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"
)

// newSCS is alexedwards/scs as its README sets it up for production: sessions in
// Redis by goredisstore, LoadAndSave around the application's handlers. It is a
// library inside an application and checks no client and no signature: it does less
// than an introspection.
func newSCS(ctx context.Context) (http.Handler, error) {
	o, err := redis.ParseURL(os.Getenv(envRedis))
	if err != nil {
		return nil, err
	}
	db := redis.NewClient(o)
	if err := db.Ping(ctx).Err(); err != nil {
		return nil, err
	}
	sessions := scs.New()
	sessions.Store = goredisstore.NewWithPrefix(db, "scs:")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		sessions.Put(r.Context(), "user", r.URL.Query().Get("user"))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if sessions.GetString(r.Context(), "user") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, bareAnswer)
	})
	return sessions.LoadAndSave(mux), nil
}

// scsRequests signs in at an scs handler and writes the requests with its cookies.
func (s *suite) scsRequests() (string, error) {
	cookies := make([]string, measured)
	for i := range cookies {
		resp, err := http.Get(s.scs.url + "/login?user=u" + strconv.Itoa(i/5))
		if err != nil {
			return "", err
		}
		_ = resp.Body.Close()
		set := resp.Cookies()
		if len(set) != 1 {
			return "", fmt.Errorf("scs set %d cookies, want 1", len(set))
		}
		cookies[i] = set[0].Name + "=" + set[0].Value
	}
	return requestsFile(s.dir, "scs", http.MethodGet, "/", nil, "Cookie", cookies)
}
