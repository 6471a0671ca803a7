package gateways

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// seen is a request as the application behind a gateway saw it.
type seen struct {
	Method, URL, Body string
	Header            http.Header
}

// application is what the gateways protect. It remembers each request by its Case
// header, for tests to ask what came through and whether anything did.
type application struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]seen
}

func startApplication(t *testing.T) *application {
	t.Helper()
	a := &application{seen: make(map[string]seen)}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s := seen{r.Method, r.URL.String(), string(body), r.Header}
	a.mu.Lock()
	a.seen[r.Header.Get("Case")] = s
	a.mu.Unlock()
	_ = json.NewEncoder(w).Encode(s)
}

// saw returns the request of a case, if it came through.
func (a *application) saw(id string) (seen, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.seen[id]
	return s, ok
}
