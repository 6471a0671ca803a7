package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// figure is one of the figures that the gateway is held to.
type figure struct {
	name, target, got string
	reached           bool
}

// suite is a run of everything, on one stack.
type suite struct {
	*stack
	ctx      context.Context
	out      io.Writer
	rounds   int
	duration time.Duration

	gin, form, pipe, eval, scs, gate server
	profiler                         int // port
	tokens                           []string
	figures                          []figure
}

func newSuite(ctx context.Context, out io.Writer, binary string, rounds int, d time.Duration) (_ *suite, err error) {
	s := &suite{ctx: ctx, out: out, rounds: rounds, duration: d}
	if s.stack, err = newStack(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	for kind, to := range map[string]*server{"gin": &s.gin, "form": &s.form, "pipe": &s.pipe, "eval": &s.eval, "scs": &s.scs} {
		if *to, err = s.handler(ctx, kind); err != nil {
			return nil, err
		}
	}
	s.profiler, err = freePort()
	if err != nil {
		return nil, err
	}
	s.gate, err = s.gateway(ctx, binary, "SESSIONGATE_ADMIN_PPROF_ADDR=127.0.0.1:"+strconv.Itoa(s.profiler))
	if err != nil {
		return nil, err
	}
	s.tokens, err = s.gate.signInAll(measured)
	return s, err
}

func (s *suite) note(reached bool, name, target, format string, args ...any) {
	s.figures = append(s.figures, figure{name, target, fmt.Sprintf(format, args...), reached})
}

// on is a target of the suite.
func (s *suite) on(name string, of server, requests string) target {
	t := target{name: name, url: of.url, requests: requests, pid: of.pid}
	if of != s.gin && of != s.form {
		t.redis = s.redis.Pid()
	}
	return t
}

// hotPaths returns the targets of the throughput tables; bare gin comes first.
func (s *suite) hotPaths() ([]target, error) {
	root, err := s.introspections("root", "/", s.tokens)
	if err != nil {
		return nil, err
	}
	introspect, err := s.introspections("introspect", "/oauth2/introspect", s.tokens)
	if err != nil {
		return nil, err
	}
	forward, err := s.bearers("forward", "/forward-auth", s.tokens)
	if err != nil {
		return nil, err
	}
	status, err := s.bearers("status", "/sessions/status", s.tokens)
	if err != nil {
		return nil, err
	}
	scs, err := s.scsRequests()
	return []target{
		s.on("bare gin POST", s.gin, root),
		s.on("gin, form and token, no Redis", s.form, root),
		s.on("the same, one pipelined round trip (go-redis)", s.pipe, root),
		s.on("the same, one EVALSHA (go-redis)", s.eval, root),
		s.on("introspection", s.gate, introspect),
		s.on("forward-auth", s.gate, forward),
		s.on("status", s.gate, status),
		s.on("alexedwards/scs with goredisstore", s.scs, scs),
	}, err
}

// The rows of the tables, in the order of hotPaths.
const (
	rowGin = iota
	rowForm
	rowPipe
	rowEval
	rowIntrospect
	rowForward
	rowStatus
	rowSCS
)

// throughput is the figures 1 and 2, what of 3 is about 64 connections, and 4.
func (s *suite) throughput() error {
	targets, err := s.hotPaths()
	if err != nil {
		return err
	}
	rows, err := table(s.ctx, targets, 64, s.rounds, s.duration)
	if err != nil {
		return err
	}
	write(s.out, fmt.Sprintf("## 64 connections\n\n%d rounds of %v, interleaved; medians.", s.rounds, s.duration), targets, rows)
	for i := rowIntrospect; i <= rowStatus; i++ {
		got := median(rows[i].ratios)
		s.note(got >= 0.8, "1. 64 connections, "+targets[i].name, "≥ 0.80 of bare gin POST", "%.2f (%s)", got, spread(rows[i].ratios))
	}
	tail := median(rows[rowIntrospect].tails)
	s.note(tail <= 1.1, "3. 64 connections, introspection's p99", "≤ 1.1 × bare gin's", "%.2f ×", tail)
	cpu := float64(median(rows[rowIntrospect].cpus)+median(rows[rowIntrospect].redis)) / float64(median(rows[rowForm].cpus))
	s.note(cpu <= 1.35, "4. CPU of gateway and Redis by request", "≤ 1.35 × the handler's without Redis", "%.2f ×", cpu)
	share := median(rows[rowIntrospect].redisShares)
	s.note(share <= 0.15, "4. Redis at full load", "≤ 15 % of a core", "%.0f %%", 100*share)

	var times []float64
	for i, r := range rows[rowIntrospect].rates {
		times = append(times, r/rows[rowSCS].rates[i])
	}
	s.note(median(times) >= 2.2, "5. introspection beside alexedwards/scs", "≥ 2.2 ×", "%.1f × (%s)", median(times), spread(times))

	rows, err = table(s.ctx, targets, 4, s.rounds, s.duration)
	if err != nil {
		return err
	}
	write(s.out, fmt.Sprintf("## 4 connections\n\n%d rounds of %v, interleaved; medians.", s.rounds, s.duration), targets, rows)
	var of []float64
	for i, r := range rows[rowIntrospect].rates {
		of = append(of, r/max(rows[rowPipe].rates[i], rows[rowEval].rates[i]))
	}
	s.note(median(of) >= 0.95, "2. 4 connections, introspection", "≥ 0.95 of the best plain round trip", "%.2f (%s)",
		median(of), spread(of))
	return nil
}

// fixedRate is what of figure 3 is about an open loop.
func (s *suite) fixedRate() error {
	rate, err := s.third()
	if err != nil {
		return err
	}
	form, gate := s.askAll("/"), s.askAll("/oauth2/introspect")
	var later []time.Duration
	var tails []float64
	fmt.Fprintf(s.out, "\n## A third of saturation\n\nOpen loop, %d requests a second over 16 connections, counted from when each was due.\n\n"+
		"| round | no Redis: p50 | p99 | introspection: p50 | p99 |\n| --- | --- | --- | --- | --- |\n", rate)
	for round := range s.rounds {
		without, err := openLoop(s.ctx, s.form.url, 16, rate, s.duration, form)
		if err != nil {
			return err
		}
		with, err := openLoop(s.ctx, s.gate.url, 16, rate, s.duration, gate)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "| %d | %v | %v | %v | %v |\n", round+1, micro(without.p50), micro(without.p99), micro(with.p50), micro(with.p99))
		later = append(later, with.p50-without.p50)
		tails = append(tails, float64(with.p99)/float64(without.p99))
	}
	s.note(median(later) <= 400*time.Microsecond, "3. a third of saturation, p50", "within 0.4 ms of the handler without Redis",
		"%v more", micro(median(later)))
	s.note(median(tails) <= 1.5, "3. a third of saturation, p99", "≤ 1.5 × the handler's without Redis", "%.2f ×", median(tails))
	return nil
}

// third returns a third of what introspection does at 64 connections.
func (s *suite) third() (int, error) {
	requests, err := s.introspections("third", "/oauth2/introspect", s.tokens)
	if err != nil {
		return 0, err
	}
	r, err := measure(s.ctx, s.on("introspection", s.gate, requests), 64, s.duration)
	return max(int(r.perSecond/3), 100), err
}

func (s *suite) askAll(path string) [][]byte {
	header := map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Authorization": basic()}
	requests := make([][]byte, len(s.tokens))
	for i, token := range s.tokens {
		requests[i] = request(http.MethodPost, path, header, "token="+token)
	}
	return requests
}

func micro(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
