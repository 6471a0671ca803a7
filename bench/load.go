package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is one thing to put load on.
type target struct {
	name     string
	url      string
	requests string // file for wrk.lua
	pid      int
	redis    int // pid of its Redis; 0: none
}

// result is one measurement.
type result struct {
	perSecond float64
	requests  int
	p50, p99  time.Duration
	failed    int // other than 2xx, and socket errors

	cpu, redisCPU time.Duration // by request
	redisShare    float64       // of a core
}

//go:embed wrk.lua
var script []byte

// scriptFile is where newStack puts the script, beside the requests.
const scriptFile = "wrk.lua"

// measure loads the target for the duration over the given connections.
func measure(ctx context.Context, t target, connections int, d time.Duration) (result, error) {
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+d.String(), "--latency",
		"-s", filepath.Join(filepath.Dir(t.requests), scriptFile), t.url)
	cmd.Env = append(os.Environ(), "BENCH_REQUESTS="+t.requests)
	before, redisBefore, err := t.used()
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk on %s: %w: %s", t.name, err, out)
	}
	after, redisAfter, err := t.used()
	if err != nil {
		return result{}, err
	}
	r, err := parse(string(out))
	if r.requests > 0 {
		r.cpu = (after - before) / time.Duration(r.requests)
		r.redisCPU = (redisAfter - redisBefore) / time.Duration(r.requests)
		r.redisShare = float64(redisAfter-redisBefore) / float64(time.Since(began))
	}
	return r, err
}

// used returns the processor time of the target and of its Redis so far.
func (t target) used() (own, redis time.Duration, err error) {
	if own, err = cpuOf(t.pid); err != nil || t.redis == 0 {
		return own, 0, err
	}
	redis, err = cpuOf(t.redis)
	return own, redis, err
}

var (
	rateLine    = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	centileLine = regexp.MustCompile(`(?m)^\s+(50|99)%\s+(\S+)$`)
	totalLine   = regexp.MustCompile(`(\d+) requests in `)
	badLine     = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	socketLine  = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

func parse(out string) (r result, err error) {
	rate := rateLine.FindStringSubmatch(out)
	if rate == nil {
		return r, errors.New("wrk printed no rate: " + out)
	}
	if r.perSecond, err = strconv.ParseFloat(rate[1], 64); err != nil {
		return r, err
	}
	if total := totalLine.FindStringSubmatch(out); total != nil {
		r.requests, _ = strconv.Atoi(total[1])
	}
	for _, m := range centileLine.FindAllStringSubmatch(out, -1) {
		d, err := time.ParseDuration(m[2])
		if err != nil {
			return r, err
		}
		if m[1] == "50" {
			r.p50 = d
		} else {
			r.p99 = d
		}
	}
	for _, line := range []*regexp.Regexp{badLine, socketLine} {
		if m := line.FindStringSubmatch(out); m != nil {
			for _, s := range m[1:] {
				n, _ := strconv.Atoi(s)
				r.failed += n
			}
		}
	}
	return r, nil
}

// requestsFile writes what wrk.lua sends: the same head with each of the values,
// for the header named by what or for the body.
func requestsFile(
	dir, name, method, path string, headers map[string]string, what string, values []string,
) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", method, path)
	for k, v := range headers {
		fmt.Fprintf(&b, "%s: %s\n", k, v)
	}
	b.WriteString("\n" + what + "\n")
	for _, v := range values {
		b.WriteString(v + "\n")
	}
	file := dir + "/" + name
	return file, os.WriteFile(file, []byte(b.String()), 0o600)
}

func median[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
