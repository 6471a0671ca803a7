package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The client that the bench uses of the gateway it starts.
const clientID, clientSecret = "bench", "bench-client-secret-0123456789abcdef"

// measured is how many sessions the load is spread over, five a user.
const measured = 1000

// signIn opens a session as a trusted backend does and returns its token.
func (g server) signIn(user string) (string, error) {
	body, err := json.Marshal(map[string]any{
		"user_id": user, "device_info": "bench", "ip_address": "203.0.113.7", "user_agent": agents[0],
		"scope": "read write", "amr": []string{"pwd"},
	})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequest(http.MethodPost, g.url+"/sessions", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", basic())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusCreated {
		return "", errors.New("POST /sessions: " + resp.Status + ": " + string(text))
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", err
	}
	return answer.Token, nil
}

func (g server) signInAll(n int) ([]string, error) {
	tokens := make([]string, n)
	for i := range tokens {
		var err error
		if tokens[i], err = g.signIn("u" + strconv.Itoa(i/5)); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

func basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(clientID+":"+clientSecret))
}

// row is what is known of a target after all rounds at one number of connections.
type row struct {
	rates, ratios []float64
	p50s, p99s    []time.Duration
	tails         []float64 // p99 as a multiple of the first target's
	cpus, redis   []time.Duration
	redisShares   []float64
}

// table loads the targets in turn, as often as there are rounds; ratios are to the
// first target of the same round.
func table(ctx context.Context, targets []target, connections, rounds int, d time.Duration) ([]row, error) {
	rows := make([]row, len(targets))
	for range rounds {
		var first result
		for i, t := range targets {
			r, err := measure(ctx, t, connections, d)
			if err != nil {
				return nil, err
			}
			if r.failed > 0 {
				return nil, fmt.Errorf("%s: %d requests failed", t.name, r.failed)
			}
			if i == 0 {
				first = r
			}
			rows[i].rates = append(rows[i].rates, r.perSecond)
			rows[i].p50s, rows[i].p99s = append(rows[i].p50s, r.p50), append(rows[i].p99s, r.p99)
			rows[i].cpus, rows[i].redis = append(rows[i].cpus, r.cpu), append(rows[i].redis, r.redisCPU)
			rows[i].redisShares = append(rows[i].redisShares, r.redisShare)
			rows[i].ratios = append(rows[i].ratios, r.perSecond/first.perSecond)
			rows[i].tails = append(rows[i].tails, float64(r.p99)/float64(first.p99))
		}
	}
	return rows, nil
}

// write writes the table as Markdown.
func write(to io.Writer, title string, targets []target, rows []row) {
	fmt.Fprintf(to, "\n%s\n\n| target | req/s | of the first | lowest to highest | p50 | p99 | p99 of the first's | CPU | CPU of Redis | Redis, of a core |\n"+
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n", title)
	for i, t := range targets {
		r := &rows[i]
		fmt.Fprintf(to, "| %s | %.0f | %.2f | %s | %v | %v | %.2f | %v | %v | %.0f %% |\n", t.name, median(r.rates), median(r.ratios),
			spread(r.ratios), median(r.p50s), median(r.p99s), median(r.tails),
			short(median(r.cpus)), short(median(r.redis)), 100*median(r.redisShares))
	}
}

func short(d time.Duration) time.Duration { return d.Round(100 * time.Nanosecond) }

func spread(values []float64) string {
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	return fmt.Sprintf("%.2f to %.2f", low, high)
}

// quick compares the gateways of several binaries on the hot paths: before and
// after a change.
func quick(ctx context.Context, binaries, paths string, rounds int, d time.Duration, conns string) error {
	s, err := newStack(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	bare, err := s.handler(ctx, "gin")
	if err != nil {
		return err
	}
	var tokens []string
	targets := []target{{name: "bare gin", url: bare.url, pid: bare.pid}}
	for binary := range strings.SplitSeq(binaries, ",") {
		path, env, _ := strings.Cut(binary, "@")
		var extra []string
		if env != "" {
			extra = strings.Split(env, "@")
		}
		for i := range extra {
			extra[i] = strings.ReplaceAll(extra[i], "SOCKET", s.redis.Socket())
		}
		g, err := s.gateway(ctx, path, extra...)
		if err != nil {
			return err
		}
		if tokens == nil {
			if tokens, err = g.signInAll(measured); err != nil {
				return err
			}
			if targets[0].requests, err = s.introspections("bare", "/", tokens); err != nil {
				return err
			}
		}
		for p := range strings.SplitSeq(paths, ",") {
			t := target{name: binary + " " + p, url: g.url, pid: g.pid, redis: s.redis.Pid()}
			if p == "introspect" {
				t.requests, err = s.introspections("introspect", "/oauth2/introspect", tokens)
			} else {
				t.requests, err = s.bearers(p, map[string]string{"status": "/sessions/status", "forward": "/forward-auth"}[p], tokens)
			}
			if err != nil {
				return err
			}
			targets = append(targets, t)
		}
	}
	for c := range strings.SplitSeq(conns, ",") {
		n, err := strconv.Atoi(c)
		if err != nil {
			return err
		}
		rows, err := table(ctx, targets, n, rounds, d)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		write(&out, fmt.Sprintf("%d connections, %d rounds of %v, medians", n, rounds, d), targets, rows)
		fmt.Print(out.String())
	}
	return nil
}

// introspections writes the requests that ask about each token in a form.
func (s *stack) introspections(name, path string, tokens []string) (string, error) {
	lines := make([]string, len(tokens))
	for i, token := range tokens {
		lines[i] = "token=" + token
	}
	return requestsFile(s.dir, name, http.MethodPost, path, map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Authorization": basic(),
	}, "body", lines)
}

// bearers writes the requests that present each token.
func (s *stack) bearers(name, path string, tokens []string) (string, error) {
	lines := make([]string, len(tokens))
	for i, token := range tokens {
		lines[i] = "Bearer " + token
	}
	return requestsFile(s.dir, name, http.MethodGet, path, nil, "Authorization", lines)
}
