//go:build go1.25

package sessiongate_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// report is where TestContract puts its lines; contract.sh asks for them.
var report = flag.String("report", "", "a `file` for a line of JSON for each vector")

const contract = "../contract"

type vector struct {
	Name  string `json:"name"`
	Given struct {
		Stored     json.RawMessage `json:"stored"`
		WallOffset float64         `json:"wall_offset"`
		Options    struct {
			Live bool `json:"live"`
		} `json:"options"`
	} `json:"given"`
	Steps []json.RawMessage `json:"steps"`
}

type cannedAnswer struct {
	Network string            `json:"network"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
	Text    string            `json:"text"`
	Stream  bool              `json:"stream"`
}

// TestContract puts the client through all vectors of clients/contract.
func TestContract(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	var canned struct {
		Answers map[string]cannedAnswer `json:"answers"`
	}
	read(t, filepath.Join(contract, "answers.json"), &canned)
	files, err := filepath.Glob(filepath.Join(contract, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	run := 0
	for _, file := range files {
		var f struct {
			Vectors []vector `json:"vectors"`
		}
		read(t, file, &f)
		for _, v := range f.Vectors {
			run++
			began := time.Now()
			err := runVector(t, v, canned.Answers)
			line := map[string]any{
				"client": "go", "vector": v.Name, "ok": err == nil, "ms": time.Since(began).Milliseconds(),
			}
			if err != nil {
				line["error"] = err.Error()
				t.Errorf("%s: %v", v.Name, err)
			}
			text, _ := json.Marshal(line)
			lines.Write(append(text, '\n'))
		}
	}
	if run < 90 {
		t.Errorf("there are %d vectors only", run)
	}
	if *report != "" {
		if err := os.WriteFile(*report, lines.Bytes(), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// runVector runs one in a bubble of its own: synctest.Wait returns when nothing more
// can happen without time passing.
func runVector(t *testing.T, v vector, canned map[string]cannedAnswer) (err error) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(v, canned)
		defer synctest.Wait()
		defer w.close()
		for n, step := range v.Steps {
			if err = w.step(step); err != nil {
				err = fmt.Errorf("step %d, %s: %w", n+1, step, err)
				return
			}
		}
		err = w.noCalls()
	})
	return err
}

func read(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
