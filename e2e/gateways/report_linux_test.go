package gateways

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// report gathers what `make gateways` prints.
type report struct {
	mu    sync.Mutex
	cells map[[3]string]string // gateway, situation, variant
	lags  map[string]string    // gateway
	names []string             // situations, in the order of their first result
}

func newReport() *report {
	return &report{cells: make(map[[3]string]string), lags: make(map[string]string)}
}

func (r *report) result(gateway, situation, variant string, status int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cell := fmt.Sprint(status)
	if !ok {
		cell += " WRONG"
	}
	r.cells[[3]string{gateway, situation, variant}] = cell
	if !slices.Contains(r.names, situation) {
		r.names = append(r.names, situation)
	}
}

func (r *report) lag(gateway string, promised, measured time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	promise := "refused from the first request on"
	if promised > 0 {
		promise = "at most " + promised.String()
	}
	r.lags[gateway] = fmt.Sprintf("%s\t%s", measured.Round(time.Millisecond), promise)
}

// publish logs the tables, and writes them where -matrix says.
func (r *report) publish(t *testing.T) {
	text := r.text()
	t.Log(text)
	if *matrixFile == "" {
		return
	}
	if err := os.WriteFile(*matrixFile, []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}

func (r *report) text() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "\nWhat the client got, by what is true of the token and what else the client did.\n\ngateway\ttoken")
	for _, v := range variants {
		fmt.Fprint(w, "\t", v.name)
	}
	fmt.Fprintln(w)
	for i := range recipes {
		gateway := recipes[i].name
		for _, situation := range r.names {
			fmt.Fprint(w, gateway, "\t", situation)
			for _, v := range variants {
				fmt.Fprint(w, "\t", r.cells[[3]string{gateway, situation, v.name}])
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprint(w, "\nFrom sessiongate's answer to the logout to the gateway's first refusal, the worst of ",
		measurements, ".\n\ngateway\tmeasured\tpromised\n")
	for i := range recipes {
		fmt.Fprintf(w, "%s\t%s\n", recipes[i].name, r.lags[recipes[i].name])
	}
	_ = w.Flush()
	return out.String()
}
