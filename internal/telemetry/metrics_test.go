package telemetry

import (
	"database/sql"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestMetrics reads the page as Prometheus does.
func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := NewRegistry()
	db := new(sql.DB) // its statistics are all zero
	if err := RegisterDB(reg, db, "ledger"); err != nil {
		t.Fatal(err)
	}
	if err := RegisterDB(reg, db, "ledger"); err == nil {
		t.Error("the same pool could be registered twice")
	}
	page := httptest.NewRecorder()
	Handler(reg).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if page.Code != http.StatusOK {
		t.Fatalf("status %d: %s", page.Code, page.Body)
	}
	for _, want := range []string{
		"\nsessiongate_build_info{goversion=\"go",
		"\ngo_goroutines ",
		"\nprocess_start_time_seconds ",
		"\ngo_sql_open_connections{db_name=\"ledger\"} 0",
	} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the page has no %q", want)
		}
	}
}
