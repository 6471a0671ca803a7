package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// writing is figure 6: what changes something, beside a bare handler under the
// same load generator, since a refresh needs the token of the one before.
func (s *suite) writing() error {
	var refreshes, creations []float64
	fmt.Fprintf(s.out, "\n## Refresh and sessions opened by a backend\n\n64 connections, %d rounds of %v, interleaved.\n\n"+
		"| round | bare gin POST | refresh | POST /sessions |\n| --- | --- | --- | --- |\n", s.rounds, s.duration)
	opened := 0
	for round := range s.rounds {
		bare := request(http.MethodPost, "/", map[string]string{"Content-Type": "application/json"}, newSession(0))
		base, err := closedLoop(s.gin.url, 64, s.duration, func(int, []byte) []byte { return bare })
		if err != nil {
			return err
		}
		first, err := s.gate.signInAll(64)
		if err != nil {
			return err
		}
		refresh, err := closedLoop(s.gate.url, 64, s.duration, func(i int, answer []byte) []byte {
			token := first[i]
			if answer != nil {
				token = tokenOf(answer)
			}
			return request(http.MethodPost, "/sessions/refresh", map[string]string{"Authorization": "Bearer " + token}, "")
		})
		if err != nil {
			return err
		}
		var mu sync.Mutex
		header := map[string]string{"Content-Type": "application/json", "Authorization": basic()}
		create, err := closedLoop(s.gate.url, 64, s.duration, func(int, []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			opened++
			return request(http.MethodPost, "/sessions", header, newSession(opened))
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "| %d | %.0f | %.0f | %.0f |\n", round+1, base, refresh, create)
		refreshes, creations = append(refreshes, refresh/base), append(creations, create/base)
	}
	s.note(median(refreshes) >= 0.45, "6. refresh", "≥ 0.45 of bare gin POST", "%.2f (%s)", median(refreshes), spread(refreshes))
	s.note(median(creations) >= 0.40, "6. session opened by a backend", "≥ 0.40 of bare gin POST", "%.2f (%s)",
		median(creations), spread(creations))
	return nil
}

// newSession is the body of the n-th POST /sessions: five a user.
func newSession(n int) string {
	body, err := json.Marshal(map[string]any{
		"user_id": "n" + strconv.Itoa(n/5), "device_info": "bench", "ip_address": "203.0.113.7",
		"user_agent": agents[n%len(agents)], "scope": "read write", "amr": []string{"pwd"},
	})
	if err != nil {
		panic(err) // strings only
	}
	return string(body)
}

// tokenOf finds the token in an answer, which begins with it.
func tokenOf(answer []byte) string {
	_, rest, _ := bytes.Cut(answer, []byte(`"access_token":"`))
	token, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(token)
}

// The user whose password the storm tries.
const stormUser, stormPassword = "storm", "correct horse battery staple 7"

// storm is figure 8: introspection at 2,000 requests a second, with and without
// 32 connections that sign in as fast as they can.
func (s *suite) storm(binary string) error {
	if err := s.addUser(binary); err != nil {
		return err
	}
	body := fmt.Sprintf(`{"identifier":%q,"password":%q,"device_info":"bench"}`, stormUser, stormPassword)
	login := request(http.MethodPost, "/sessions/login", map[string]string{"Content-Type": "application/json"}, body)
	var times []float64
	fmt.Fprintf(s.out, "\n## Login storm\n\nIntrospection at 2,000 requests a second (open loop, 16 connections), alone and beside 32 "+
		"connections that sign in with a password.\n\n| round | alone: p50 | p99 | in the storm: p50 | p99 |\n| --- | --- | --- | --- | --- |\n")
	requests := s.askAll("/oauth2/introspect")
	for round := range s.rounds {
		alone, err := openLoop(s.ctx, s.gate.url, 16, 2000, s.duration, requests)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(s.ctx)
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() { signInUntil(ctx, s.gate.url, login) })
		}
		beside, err := openLoop(s.ctx, s.gate.url, 16, 2000, s.duration, requests)
		cancel()
		wg.Wait()
		if err != nil {
			return fmt.Errorf("in the storm: %w", err)
		}
		fmt.Fprintf(s.out, "| %d | %v | %v | %v | %v |\n", round+1, micro(alone.p50), micro(alone.p99), micro(beside.p50), micro(beside.p99))
		times = append(times, float64(beside.p99)/float64(alone.p99))
	}
	s.note(median(times) <= 2, "8. login storm, introspection's p99 at 2,000 req/s", "≤ 2 × without one", "%.2f × (%s)",
		median(times), spread(times))
	return nil
}

// signInUntil signs in again and again. Refusals are part of a storm.
func signInUntil(ctx context.Context, url string, login []byte) {
	for ctx.Err() == nil {
		c, err := dial(url)
		if err != nil {
			return
		}
		for ctx.Err() == nil {
			if _, err := c.do(login); err != nil {
				break
			}
		}
		_ = c.Close()
	}
}

func (s *suite) addUser(binary string) error {
	cmd := exec.CommandContext(s.ctx, binary, "users", "add", stormUser)
	cmd.Env = append(os.Environ(), "SESSIONGATE_DATABASE_URL="+s.postgres.URL())
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(stormPassword+"\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sessiongate users add: %w: %s", err, out)
	}
	return nil
}
