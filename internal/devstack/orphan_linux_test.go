package devstack

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The test binary is its own gateway: run with this variable it starts both
// servers in that directory, says so, and waits to be killed.
const gatewayVariable = "DEVSTACK_TEST_GATEWAY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(gatewayVariable); dir != "" {
		gateway(dir)
	}
	os.Exit(m.Run())
}

func gateway(dir string) {
	_, err := StartRedis(context.Background(), RedisOptions{Dir: filepath.Join(dir, "redis")})
	if err == nil {
		_, err = StartPostgres(context.Background(), PostgresOptions{Dir: filepath.Join(dir, "postgres")})
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

func TestKilledGatewayLeavesNoOrphan(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	if err := os.Mkdir(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	redisData, postgresData := filepath.Join(dir, "redis", "data"), filepath.Join(dir, "postgres", "data")

	// Twice: the second gateway takes over what the first one's servers are
	// still putting away, and finds the data good.
	for range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), gatewayVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if strings.TrimSpace(line) != "ready" {
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("the gateway says %q", line)
		}
		for _, data := range []string{redisData, postgresData} {
			if len(processesIn(data)) == 0 {
				t.Errorf("no process in %s: the test looks in the wrong place", data)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
	}
	eventually(t, "no process is left", func() bool {
		return len(processesIn(redisData)) == 0 && len(processesIn(postgresData)) == 0
	})
}

// Where postgres can't go, it says where it went, and finds the way again.
func TestFallbackDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if _, err := (account{}).home(directory(t), "", nil); err != nil {
			t.Errorf("an ordinary user's own directory: %v", err)
		}
		return
	}
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	var said []string
	p := startPostgres(t, PostgresOptions{
		Dir: filepath.Join(closed, "postgres"), Throwaway: true,
		Say: func(s string) { said = append(said, s) },
	})
	t.Cleanup(func() { os.RemoveAll(p.Dir()) })
	if strings.HasPrefix(p.Dir(), closed) {
		t.Fatalf("postgres runs in %s, which its user can't enter", p.Dir())
	}
	if len(said) != 1 || !strings.Contains(said[0], closed) || !strings.Contains(said[0], p.Dir()) {
		t.Errorf("said %q, want both directories named", said)
	}
	execute(t, p, "CREATE TABLE t (x int)")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	again := startPostgres(t, PostgresOptions{Dir: filepath.Join(closed, "postgres"), Throwaway: true})
	execute(t, again, "SELECT x FROM t")
}

// processesIn returns the processes that work in a directory, zombies excepted.
func processesIn(dir string) []string {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var found []string
	for _, link := range links {
		if at, err := os.Readlink(link); err == nil && at == dir {
			found = append(found, filepath.Base(filepath.Dir(link)))
		}
	}
	return found
}
