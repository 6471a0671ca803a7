package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/store"
)

type doctorCommand struct {
	Live bool `help:"Only ask the gateway on this machine whether it is alive: for a container's health check."`
}

func (c doctorCommand) Run(ctx context.Context, in *invocation) error {
	if c.Live {
		cfg, err := in.loadOnly("http")
		if err != nil {
			return err
		}
		return live(ctx, cfg.HTTP.Addr)
	}
	cfg, err := in.load()
	if err != nil {
		return err
	}
	var e examination
	e.good("configuration", "valid")
	e.geo(cfg)
	e.redis(ctx, cfg)
	e.postgres(ctx, cfg)
	if err := e.print(in); err != nil {
		return err
	}
	if n := e.count(failed); n > 0 {
		return fmt.Errorf("%w: %d of %d checks failed", errUnhealthy, n, len(e.findings))
	}
	return nil
}

// live asks the gateway that listens on addr on this machine.
func live(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	// Not "localhost": an image may be without a file that says what that is.
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/livez", nil)
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	// Not by way of a proxy in the environment.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnhealthy, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: /livez answers %s", errUnhealthy, resp.Status)
	}
	return nil
}

// examination gathers what doctor finds.
type examination struct{ findings []finding }

type finding struct {
	what   string
	result result
	found  string
	hint   string
}

type result string

const (
	passed  result = "ok"
	warning result = "warning"
	failed  result = "FAILED"
)

func (e *examination) good(what, found string) {
	e.findings = append(e.findings, finding{what, passed, found, ""})
}

func (e *examination) bad(what string, err error, hint string) {
	e.findings = append(e.findings, finding{what, failed, err.Error(), hint})
}

// check notes a finding: passed if it is as it should be, else what it is
// otherwise, with what to do.
func (e *examination) check(good bool, otherwise result, what, found, hint string) {
	if good {
		e.good(what, found)
		return
	}
	e.findings = append(e.findings, finding{what, otherwise, found, hint})
}

func (e *examination) count(r result) int {
	n := 0
	for _, f := range e.findings {
		if f.result == r {
			n++
		}
	}
	return n
}

func (e *examination) print(in *invocation) error {
	w := tabwriter.NewWriter(in.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range e.findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.result, f.what, f.found)
		if f.hint != "" {
			fmt.Fprintf(w, "\t\t→ %s\n", f.hint)
		}
	}
	return w.Flush()
}

func (e *examination) redis(ctx context.Context, cfg config.Config) {
	r, err := store.InspectRedis(ctx, redisOptions(cfg)) // who examines changes nothing
	if err != nil {
		e.bad("redis", err, redisHint(err))
		return
	}
	defer r.Close()
	info, err := r.Server(ctx)
	if err != nil {
		e.bad("redis", err, redisHint(err))
		return
	}
	// InspectRedis has refused what can't work; so these two are good.
	e.good("redis: version", info.Version)
	e.good("redis: maxmemory-policy", info.MaxMemoryPolicy)
	e.good("redis: partitions", fmt.Sprint(r.Partitions()))
	e.check(info.AOF, warning, "redis: appendonly", onOff(info.AOF),
		"without it a restart of Redis signs everybody out and loses events: CONFIG SET appendonly yes, and redis.conf")
	e.check(info.MaxMemory > 0, warning, "redis: maxmemory", mebibytes(info.UsedMemory)+" used of "+limitText(info.MaxMemory),
		"without a limit the kernel ends Redis when memory runs out: CONFIG SET maxmemory, and redis.conf")

	skew, err := r.SyncClock(ctx)
	if err != nil {
		e.bad("redis: clock", err, redisHint(err))
		return
	}
	e.check(skew.Abs() <= cfg.Tokens.Leeway, failed, "redis: clock",
		fmt.Sprintf("%s from ours", skew.Round(time.Millisecond)),
		fmt.Sprintf("more than tokens.leeway (%s): synchronize the clocks (NTP) of this machine and Redis's", cfg.Tokens.Leeway))
	e.backlog(ctx, r)
}

// late is how old the first event that waits may be before something is wrong.
const late = time.Minute

func (e *examination) backlog(ctx context.Context, r interface {
	Streams() int
	Clock() time.Time
	Backlog(ctx context.Context, stream int) (int64, time.Time, error)
},
) {
	var total int64
	var first time.Time
	for s := range r.Streams() {
		n, oldest, err := r.Backlog(ctx, s)
		if err != nil {
			e.bad("redis: events waiting", err, redisHint(err))
			return
		}
		total += n
		if n > 0 && (first.IsZero() || oldest.Before(first)) {
			first = oldest
		}
	}
	found := fmt.Sprint(total)
	if total > 0 {
		found += fmt.Sprintf(", the oldest since %s", first.UTC().Format(time.RFC3339))
	}
	e.check(total == 0 || r.Clock().Sub(first) < late, warning, "redis: events waiting", found,
		"no gateway writes them to Postgres: is one running, and does its log show errors of the job flush?")
}

func onOff(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func limitText(n int64) string {
	if n == 0 {
		return "no limit"
	}
	return mebibytes(n)
}

func redisHint(err error) string {
	var netErr net.Error
	if errors.As(err, &netErr) {
		return "is redis.url right, is the server running, does a firewall let us through?"
	}
	return ""
}
