package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sessiongate/sessiongate/internal/devstack"
)

// The client that the bench uses of the gateway it starts.
const clientID, clientSecret = "bench", "bench-client-secret-0123456789abcdef"

// compare loads the bare handler and the gateway's hot paths in turn, as often as
// there are rounds, and prints the median of each with its ratio to the bare
// handler of the same round.
func compare(ctx context.Context, binary string, rounds int, d time.Duration) error {
	dir, err := os.MkdirTemp("", "sessiongate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if binary, err = filepath.Abs(binary); err != nil { // the gateway runs in a directory of its own
		return err
	}
	stack, err := start(ctx, dir, binary)
	if err != nil {
		return err
	}
	defer stack.stop()
	targets, err := stack.targets(dir)
	if err != nil {
		return err
	}
	for _, connections := range []int{64, 4} {
		if err := table(ctx, targets, connections, rounds, d); err != nil {
			return err
		}
	}
	return nil
}

func table(ctx context.Context, targets []target, connections, rounds int, d time.Duration) error {
	rates := make([][]float64, len(targets))
	ratios := make([][]float64, len(targets))
	p50s, p99s := make([][]time.Duration, len(targets)), make([][]time.Duration, len(targets))
	for range rounds {
		for i, t := range targets {
			r, err := measure(ctx, t, connections, d)
			if err != nil {
				return err
			}
			if r.failed > 0 {
				return fmt.Errorf("%s: %d requests failed", t.name, r.failed)
			}
			rates[i] = append(rates[i], r.perSecond)
			p50s[i], p99s[i] = append(p50s[i], r.p50), append(p99s[i], r.p99)
			ratios[i] = append(ratios[i], r.perSecond/rates[0][len(rates[0])-1])
		}
	}
	fmt.Printf("\n%d connections, %d rounds of %v, medians\n\n", connections, rounds, d)
	fmt.Println("| target | req/s | of bare gin | lowest to highest | p50 | p99 |\n| --- | --- | --- | --- | --- | --- |")
	for i, t := range targets {
		fmt.Printf("| %s | %.0f | %.2f | %s | %v | %v |\n", t.name, median(rates[i]), median(ratios[i]),
			spread(ratios[i]), median(p50s[i]), median(p99s[i]))
	}
	return nil
}

func spread(values []float64) string {
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	return fmt.Sprintf("%.2f to %.2f", low, high)
}

// stack is what compare measures, and what it needs for that.
type stack struct {
	redis    *devstack.Redis
	postgres *devstack.Postgres
	children []*exec.Cmd
	gateway  string // URL
	bare     string // URL
}

func (s *stack) stop() {
	for _, c := range s.children {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	}
	if s.postgres != nil {
		_ = s.postgres.Stop()
	}
	if s.redis != nil {
		_ = s.redis.Stop()
	}
}

func start(ctx context.Context, dir, binary string) (_ *stack, err error) {
	s := &stack{}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.redis, err = devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(dir, "redis")}); err != nil {
		return nil, err
	}
	if s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: filepath.Join(dir, "postgres")}); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	bare := exec.CommandContext(ctx, self, "gin")
	bare.Stderr = os.Stderr
	out, err := bare.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := bare.Start(); err != nil {
		return nil, err
	}
	s.children = append(s.children, bare)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the bare handler did not start: %w", err)
	}
	s.bare = "http://" + strings.TrimSpace(line)
	return s, s.startGateway(ctx, dir, binary)
}

func (s *stack) startGateway(ctx context.Context, dir, binary string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	key, err := signingKey()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "gateway.log"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, binary, "serve")
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(),
		"SESSIONGATE_HTTP_ADDR="+addr,
		"SESSIONGATE_REDIS_URL="+s.redis.URL(),
		"SESSIONGATE_DATABASE_URL="+s.postgres.URL(),
		"SESSIONGATE_TOKENS_ALGORITHM=EdDSA",
		"SESSIONGATE_TOKENS_PRIVATE_KEY="+key,
		"SESSIONGATE_AUDIT_FINGERPRINT_KEY="+randomText(),
		"SESSIONGATE_CLIENTS="+clients(),
	)
	if err := cmd.Start(); err != nil {
		return err
	}
	s.children = append(s.children, cmd)
	s.gateway = "http://" + addr
	return s.ready(ctx, log.Name())
}

// ready waits until the gateway is.
func (s *stack) ready(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		resp, err := http.Get(s.gateway + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			text, _ := os.ReadFile(log)
			return fmt.Errorf("the gateway is not ready: %s", text)
		}
	}
}

// measured is how many sessions the load is spread over, five a user.
const measured = 1000

func (s *stack) targets(dir string) ([]target, error) {
	tokens := make([]string, measured)
	for i := range tokens {
		var err error
		if tokens[i], err = s.signIn("u" + strconv.Itoa(i/5)); err != nil {
			return nil, err
		}
	}
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Authorization": basic()}
	bodies := make([]string, len(tokens))
	for i, token := range tokens {
		bodies[i] = "token=" + token
	}
	targets := []target{
		{"bare gin POST", s.bare, "bare"},
		{"POST /oauth2/introspect", s.gateway, "introspect"},
		{"GET /sessions/status", s.gateway, "status"},
	}
	var err error
	if targets[0].requests, err = requestsFile(dir, "bare", "POST", "/", form, bodies); err != nil {
		return nil, err
	}
	if targets[1].requests, err = requestsFile(dir, "introspect", "POST", "/oauth2/introspect", form, bodies); err != nil {
		return nil, err
	}
	bearer := map[string]string{"Authorization": "Bearer " + tokens[0]}
	targets[2].requests, err = requestsFile(dir, "status", "GET", "/sessions/status", bearer, []string{""})
	return targets, err
}

// signIn opens a session as a trusted backend does and returns its token.
func (s *stack) signIn(user string) (string, error) {
	body, err := json.Marshal(map[string]any{
		"user_id": user, "device_info": "bench", "ip_address": "203.0.113.7", "user_agent": agents[0],
		"scope": "read write", "amr": []string{"pwd"},
	})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequest(http.MethodPost, s.gateway+"/sessions", bytes.NewReader(body))
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

func basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(clientID+":"+clientSecret))
}
