package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// chromium is Debian's browser, driven by the DevTools protocol over a pipe: JSON
// messages that end in a zero byte.
type chromium struct {
	out io.Writer

	mu      sync.Mutex
	last    int
	waiting map[int]chan reply
	gone    error
}

type reply struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// startChromium runs a browser with an empty profile until the test ends.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: make deps-test installs it", err)
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile := t.TempDir()
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
		"--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	cmd.Env = append(os.Environ(), "HOME="+profile, "XDG_CONFIG_HOME="+profile)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(t.TempDir(), "chromium.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &chromium{out: in, waiting: map[int]chan reply{}}
	read := make(chan struct{})
	go func() { defer close(read); b.read(out) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with its children
		_ = cmd.Wait()
		_ = errors.Join(theirIn.Close(), theirOut.Close(), in.Close(), log.Close())
		<-read
		_ = out.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("chromium says:\n%s", text)
		}
	})
	return b
}

func (b *chromium) read(from io.Reader) {
	in := bufio.NewReaderSize(from, 1<<20)
	for {
		message, err := in.ReadBytes(0)
		var r reply
		if err == nil {
			err = json.Unmarshal(bytes.TrimSuffix(message, []byte{0}), &r)
		}
		b.mu.Lock()
		if err != nil {
			b.gone = fmt.Errorf("chromium is gone: %w", err)
			for _, waiting := range b.waiting {
				close(waiting)
			}
			b.waiting = nil
			b.mu.Unlock()
			return
		}
		if waiting, ok := b.waiting[r.ID]; ok { // else an event, which nobody asked for
			waiting <- r
			delete(b.waiting, r.ID)
		}
		b.mu.Unlock()
	}
}

// call carries out a method of the protocol, in a tab or, for "", in the browser.
func (b *chromium) call(ctx context.Context, tab, method string, params, result any) error {
	b.mu.Lock()
	if b.gone != nil {
		defer b.mu.Unlock()
		return b.gone
	}
	b.last++
	id, answer := b.last, make(chan reply, 1)
	b.waiting[id] = answer
	message := object{"id": id, "method": method, "params": params}
	if tab != "" {
		message["sessionId"] = tab
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = b.out.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case r, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: chromium is gone", method)
		case r.Error != nil:
			return fmt.Errorf("%s: %s", method, r.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(r.Result, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// tab is a tab with cookies of its own, as a fresh profile would have.
type tab struct {
	t        *testing.T
	browser  *chromium
	id       string
	contents string // of the cookie jar: the browser context
}

func (b *chromium) tab(t *testing.T) *tab {
	t.Helper()
	p := &tab{t: t, browser: b}
	var jar struct{ BrowserContextID string }
	p.call("Target.createBrowserContext", object{}, &jar)
	p.contents = jar.BrowserContextID
	var target struct{ TargetID string }
	p.call("Target.createTarget", object{"url": "about:blank", "browserContextId": jar.BrowserContextID}, &target)
	var attached struct{ SessionID string }
	p.call("Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &attached)
	p.id = attached.SessionID
	p.call("Page.enable", object{}, nil)
	return p
}

func (p *tab) call(method string, params, result any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.browser.call(ctx, p.id, method, params, result); err != nil {
		p.t.Fatal(err)
	}
}

// open goes to an address, as from the address bar, and waits until all is loaded.
// It goes again if another navigation, which the page before had begun, got in its way.
func (p *tab) open(url string) {
	p.t.Helper()
	eventually(p.t, func() error {
		var got struct{ ErrorText string }
		if p.call("Page.navigate", object{"url": url}, &got); got.ErrorText != "" {
			return fmt.Errorf("%s: %s", url, got.ErrorText)
		}
		return nil
	})
	p.eval(`new Promise(done => document.readyState == "complete" ? done(1) : addEventListener("load", () => done(1)))`)
}

// eval returns what the expression comes to, once its promise is kept; the text of
// what it throws.
func (p *tab) eval(expression string) any {
	p.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	p.call("Runtime.evaluate", object{
		"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
	}, &got)
	if got.ExceptionDetails != nil {
		return got.ExceptionDetails.Exception.Description
	}
	return got.Result.Value
}

// jarCookie is a cookie as the browser keeps it.
type jarCookie struct {
	Name, Value, Domain, Path string
	HTTPOnly, Secure, Session bool
	SameSite                  string
}

func (p *tab) cookies() []jarCookie {
	p.t.Helper()
	var got struct{ Cookies []jarCookie }
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.browser.call(ctx, "", "Storage.getCookies", object{"browserContextId": p.contents}, &got); err != nil {
		p.t.Fatal(err)
	}
	return got.Cookies
}
