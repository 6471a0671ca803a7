package main

import (
	"bufio"
	"context"
	"fmt"
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

// stack is what is measured, and what that needs: one Redis, one Postgres, any
// number of handlers and gateways in front of them.
type stack struct {
	dir      string
	key      string // signs the tokens
	redis    *devstack.Redis
	postgres *devstack.Postgres
	children []*exec.Cmd
}

// server is a process that answers HTTP.
type server struct {
	url string
	pid int
}

func newStack(ctx context.Context) (_ *stack, err error) {
	s := &stack{}
	if s.dir, err = os.MkdirTemp("", "sessiongate-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if err = os.Chmod(s.dir, 0o755); err != nil { // Postgres runs as somebody else
		return nil, err
	}
	if err = os.WriteFile(filepath.Join(s.dir, scriptFile), script, 0o600); err != nil {
		return nil, err
	}
	if s.key, err = signingKey(); err != nil {
		return nil, err
	}
	s.redis, err = devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(s.dir, "redis"), Socket: true})
	if err != nil {
		return nil, err
	}
	s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: filepath.Join(s.dir, "postgres")})
	return s, err
}

// stopPatience is how long a child may take to end.
const stopPatience = 10 * time.Second

func (s *stack) stop() {
	for _, c := range s.children {
		_ = c.Process.Signal(syscall.SIGTERM)
	}
	for _, c := range s.children {
		kill := time.AfterFunc(stopPatience, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		kill.Stop()
	}
	if s.postgres != nil {
		_ = s.postgres.Stop()
	}
	if s.redis != nil {
		_ = s.redis.Stop()
	}
	_ = os.RemoveAll(s.dir)
}

// handler starts one of the handlers that the gateway is compared with.
func (s *stack) handler(ctx context.Context, kind string) (server, error) {
	self, err := os.Executable()
	if err != nil {
		return server{}, err
	}
	cmd := exec.CommandContext(ctx, self, "serve", "-kind", kind)
	cmd.Env = append(os.Environ(), envKey+"="+s.key, envRedis+"="+s.redis.URL())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return server{}, err
	}
	if err := cmd.Start(); err != nil {
		return server{}, err
	}
	s.children = append(s.children, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return server{}, fmt.Errorf("the handler %s did not start: %w", kind, err)
	}
	return server{"http://" + strings.TrimSpace(line), cmd.Process.Pid}, nil
}

// gateway starts the program with settings as they are by default, but for what
// must be set and for extra.
func (s *stack) gateway(ctx context.Context, binary string, extra ...string) (server, error) {
	port, err := freePort()
	if err != nil {
		return server{}, err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	log, err := os.CreateTemp(s.dir, "gateway-*.log")
	if err != nil {
		return server{}, err
	}
	defer log.Close()
	if binary, err = filepath.Abs(binary); err != nil { // it runs in a directory of its own
		return server{}, err
	}
	cmd := exec.CommandContext(ctx, binary, "serve")
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(),
		"SESSIONGATE_HTTP_ADDR="+addr,
		"SESSIONGATE_REDIS_URL="+s.redis.URL(),
		"SESSIONGATE_DATABASE_URL="+s.postgres.URL(),
		"SESSIONGATE_TOKENS_ALGORITHM=EdDSA",
		"SESSIONGATE_TOKENS_PRIVATE_KEY="+s.key,
		"SESSIONGATE_AUDIT_FINGERPRINT_KEY="+randomText(),
		"SESSIONGATE_CLIENTS="+clients(),
	)
	cmd.Env = append(cmd.Env, extra...)
	if err := cmd.Start(); err != nil {
		return server{}, err
	}
	s.children = append(s.children, cmd)
	g := server{"http://" + addr, cmd.Process.Pid}
	return g, g.ready(ctx, log.Name())
}

// ready waits until the gateway is.
func (g server) ready(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		resp, err := http.Get(g.url + "/readyz")
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
