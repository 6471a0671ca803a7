package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one HTTP/1.1 connection of a load generator that does as little as it can.
type conn struct {
	net.Conn
	in   *bufio.Reader
	body []byte
}

func dial(url string) (*conn, error) {
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: bufio.NewReader(c)}, nil
}

// do sends a whole request and returns the body of a 2xx, valid until the next call.
func (c *conn) do(request []byte) ([]byte, error) {
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(c.body[:0])
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	c.body = b.Bytes()
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s: %s", resp.Status, c.body)
	}
	return c.body, nil
}

// request is the bytes of a request.
func request(method, path string, header map[string]string, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench\r\n", method, path)
	for name, value := range header {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	if body != "" || method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// closedLoop keeps the connections busy, each sending what next gives it for the
// answer before (nil at first), and returns requests per second.
func closedLoop(url string, connections int, d time.Duration, next func(i int, answer []byte) []byte) (float64, error) {
	var (
		wg    sync.WaitGroup
		total atomic.Int64
		errs  = make([]error, connections)
	)
	began := time.Now()
	for i := range connections {
		wg.Go(func() {
			c, err := dial(url)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			var answer []byte
			for time.Since(began) < d {
				if answer, err = c.do(next(i, answer)); err != nil {
					errs[i] = err
					return
				}
				total.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(total.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}

// latencies are those of one open-loop measurement.
type latencies struct{ p50, p99 time.Duration }

// openLoop sends at a fixed rate whatever the answers do, and counts each latency
// from the moment at which the request was due: a server that stalls does not
// slow down those who ask it (no coordinated omission).
func openLoop(ctx context.Context, url string, connections, rate int, d time.Duration, requests [][]byte) (latencies, error) {
	due := make(chan time.Time, rate) // a second's worth may wait for a connection
	all := make([][]time.Duration, connections)
	errs := make([]error, connections)
	var wg sync.WaitGroup
	for i := range connections {
		c, err := dial(url)
		if err != nil {
			return latencies{}, err
		}
		wg.Go(func() {
			defer c.Close()
			n := i
			for at := range due {
				n += connections
				if _, err := c.do(requests[n%len(requests)]); err != nil {
					errs[i] = err
					continue
				}
				all[i] = append(all[i], time.Since(at))
			}
		})
	}
	err := schedule(ctx, rate, d, due)
	close(due)
	wg.Wait()
	list := slices.Concat(all...)
	if err = errors.Join(append(errs, err)...); err != nil || len(list) == 0 {
		return latencies{}, errors.Join(err, io.ErrUnexpectedEOF)
	}
	slices.Sort(list)
	return latencies{list[len(list)/2], list[len(list)*99/100]}, nil
}

// schedule says when each request is due. What is late is sent at once, with its
// own time.
func schedule(ctx context.Context, rate int, d time.Duration, due chan<- time.Time) error {
	began := time.Now()
	gap := time.Second / time.Duration(rate)
	for at := began; at.Sub(began) < d; at = at.Add(gap) {
		time.Sleep(time.Until(at))
		select {
		case due <- at:
		default:
			return errors.New("more than a second's requests wait for an answer")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
