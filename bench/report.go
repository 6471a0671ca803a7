package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// everything measures all figures and writes RESULTS.md.
func everything(ctx context.Context, binary, results string, rounds, sessions int, d time.Duration) error {
	var tables bytes.Buffer
	s, err := newSuite(ctx, io.MultiWriter(os.Stdout, &tables), binary, rounds, d)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, part := range []func() error{s.throughput, s.fixedRate, s.writing, func() error { return s.storm(binary) }, s.cached(binary)} {
		if err := part(); err != nil {
			return err
		}
	}
	profile, err := s.profile()
	if err != nil {
		return err
	}
	bytesEach, err := memory(ctx, sessions)
	if err != nil {
		return err
	}
	s.note(bytesEach <= 400, fmt.Sprintf("7. memory at %d sessions, five a user", sessions), "≤ 400 bytes a session", "%.0f bytes", bytesEach)
	s.figures = append(s.figures, figure{
		name:   "5. beside Hydra, Kratos, better-auth, oidc-provider, oauth2-proxy",
		target: "≥ 12 ×, 12 ×, 12 ×, 6 ×, 2.5 ×", got: notMeasured,
	})
	slices.SortStableFunc(s.figures, func(a, b figure) int { return cmp.Compare(a.name, b.name) })

	var out bytes.Buffer
	s.head(&out, rounds, d)
	s.verdicts(&out)
	out.Write(tables.Bytes())
	fmt.Fprintf(&out, "\n## Where the gateway's time goes\n\nCPU profile of the gateway, introspection over 64 connections.\n\n```\n%s```\n", profile)
	s.verdicts(os.Stdout)
	return os.WriteFile(results, out.Bytes(), 0o644)
}

const notMeasured = "not measured by this run"

func (s *suite) head(to io.Writer, rounds int, d time.Duration) {
	fmt.Fprintf(to, "# Results\n\nWritten by `make bench` on %s; %d rounds of %v. Load generator, gateway, Redis and Postgres share the "+
		"machine, so only ratios within one table mean anything.\n\n", time.Now().UTC().Format(time.DateOnly), rounds, d)
	fmt.Fprintf(to, "%s, %d cores, %s; %s; %s; %s; %s.\n", cpuModel(), runtime.NumCPU(), kernel(), runtime.Version(),
		versionOf("redis-server", "--version"), versionOf("psql", "--version"), versionOf("wrk", "--version"))
	fmt.Fprint(to, "\nThe gateway runs as a release does, with its defaults: client authentication, access log, metrics, deadlines, "+
		"activity, jobs and Postgres are on; tokens are signed with EdDSA; Redis is asked about every request, over TCP.\n")
}

func (s *suite) verdicts(to io.Writer) {
	fmt.Fprint(to, "\n## The figures\n\n| figure | target | measured | |\n| --- | --- | --- | --- |\n")
	for _, f := range s.figures {
		verdict := "**NOT reached**"
		if f.reached {
			verdict = "reached"
		}
		if f.got == notMeasured {
			verdict = "**not shown**"
		}
		fmt.Fprintf(to, "| %s | %s | %s | %s |\n", f.name, f.target, f.got, verdict)
	}
}

// profile returns the top of the gateway's CPU profile under load.
func (s *suite) profile() (string, error) {
	requests, err := s.introspections("profile", "/oauth2/introspect", s.tokens)
	if err != nil {
		return "", err
	}
	const seconds = 4
	loaded := make(chan error, 1)
	go func() {
		_, err := measure(s.ctx, s.on("introspection", s.gate, requests), 64, (seconds+2)*time.Second)
		loaded <- err
	}()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", s.profiler, seconds))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if err := <-loaded; err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, "cpu.pprof")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return "", err
	}
	text, err := exec.CommandContext(s.ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=45", file).Output()
	return string(text), err
}

func versionOf(name string, args ...string) string {
	out, _ := exec.Command(name, args...).CombinedOutput() // wrk fails, and says it all the same
	line, _, _ := strings.Cut(string(out), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return name
	}
	return line
}

func kernel() string { return "Linux " + versionOf("uname", "-r") }

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH + " with " + strconv.Itoa(runtime.NumCPU()) + " cores"
}
