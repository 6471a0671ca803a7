package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// RedisOptions say where a Redis lives and how careful it is.
type RedisOptions struct {
	Dir       string // made if missing
	Throwaway bool   // no persistence at all: for tests
	Databases int    // 0: Redis's own 16
	Socket    bool   // listen on a unix socket as well; Dir's path must be short then
}

// Redis is a private redis-server: loopback only, append-only file synced every
// second, noeviction.
type Redis struct{ server }

// StartRedis runs a redis-server in o.Dir, on what an earlier one left there,
// and returns once it answers. The error wraps ErrMissing if there is no binary.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	binary, err := findRedis()
	if err != nil {
		return nil, fmt.Errorf("devstack: %w", err)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("devstack: %w", err)
	}
	r := &Redis{server{dir: dir}}
	if err := os.MkdirAll(r.data(), 0o700); err != nil {
		return nil, fmt.Errorf("devstack: make the directory of redis: %w", err)
	}
	r.kind = kind{
		name:    "redis-server",
		stop:    syscall.SIGTERM,
		pidFile: "redis.pid",
		ping:    pingRedis,
		command: func(port int) *exec.Cmd {
			cmd := exec.Command(binary, r.args(o, port)...)
			cmd.Dir = r.data()
			return cmd
		},
	}
	if err := r.Start(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// URL is what redis.url takes.
func (r *Redis) URL() string { return r.URLFor(0) }

// URLFor is the URL of one of the numbered databases.
func (r *Redis) URLFor(db int) string { return fmt.Sprintf("redis://%s/%d", r.Addr(), db) }

// Socket is where it listens if RedisOptions.Socket asked for it.
func (r *Redis) Socket() string { return filepath.Join(r.data(), "redis.sock") }

func (r *Redis) args(o RedisOptions, port int) []string {
	args := []string{
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(port),
		"--dir", r.data(),
		"--pidfile", filepath.Join(r.data(), r.pidFile),
		"--daemonize", "no",
		"--maxmemory-policy", "noeviction",
		"--save", "", // the append-only file alone, or nothing
	}
	if o.Socket {
		args = append(args, "--unixsocket", r.Socket())
	}
	if o.Databases > 0 {
		args = append(args, "--databases", strconv.Itoa(o.Databases))
	}
	if o.Throwaway {
		return append(args, "--appendonly", "no")
	}
	return append(args, "--appendonly", "yes", "--appendfsync", "everysec")
}

// pingRedis speaks the inline form of the protocol, which needs no client.
func pingRedis(ctx context.Context, port, pid int) error {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", loopback(port))
	if err != nil {
		return err
	}
	defer conn.Close()
	// Generous, since it is short only for a server that hangs.
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\nINFO server\r\n")); err != nil {
		return err
	}
	in := bufio.NewScanner(conn)
	if !in.Scan() {
		return errors.Join(errors.New("no answer to PING"), in.Err())
	}
	if answer := in.Text(); answer != "+PONG" {
		return fmt.Errorf("PING was answered %q", answer) // -LOADING …
	}
	for in.Scan() {
		if id, ok := strings.CutPrefix(in.Text(), "process_id:"); ok {
			if id != strconv.Itoa(pid) {
				return fmt.Errorf("port %d belongs to process %s", port, id)
			}
			return nil
		}
	}
	return errors.Join(errors.New("no process id in INFO"), in.Err())
}
