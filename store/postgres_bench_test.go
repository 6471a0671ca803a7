package store

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// BenchmarkPostgresWriteEvents writes what a steady load gives: of eight events
// one is a login, five are refreshes of sessions that began earlier, one is a
// failed login and one an ending. rows/s counts rows of session_logs.
func BenchmarkPostgresWriteEvents(b *testing.B) {
	for _, size := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			l := newLedger(b)
			if _, err := l.EnsurePartitions(b.Context(), noon, 1); err != nil {
				b.Fatal(err)
			}
			g := &generator{}
			if _, err := l.WriteEvents(b.Context(), g.logins(20_000)); err != nil {
				b.Fatal(err)
			}
			l.exec("VACUUM ANALYZE")
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				entries := g.batch(size)
				b.StartTimer()
				r, err := l.WriteEvents(b.Context(), entries)
				if err != nil || r.Inserted != size {
					b.Fatalf("%+v, %v", r, err)
				}
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// generator makes events of many sessions, oldest first.
type generator struct {
	live []*life
	next int // of live: the one to refresh
	now  time.Duration
}

func (g *generator) begin() Entry {
	g.now += time.Millisecond
	s := newLife("user-"+strconv.Itoa(len(g.live)%5000), noon.Add(g.now))
	g.live = append(g.live, s)
	return s.login()
}

func (g *generator) logins(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = g.begin()
	}
	return entries
}

func (g *generator) batch(n int) []Entry {
	entries := make([]Entry, 0, n)
	for len(entries) < n {
		g.now += time.Millisecond
		at := noon.Add(g.now)
		switch len(entries) % 8 {
		case 0:
			entries = append(entries, g.begin())
		case 1:
			entries = append(entries, failedLogin("user-1", "203.0.113.1", at))
		case 2:
			s := g.live[0]
			g.live, g.next = g.live[1:], max(g.next-1, 0)
			entries = append(entries, s.end(at.Sub(s.began), session.EndLogout))
		default:
			s := g.live[g.next]
			g.next = (g.next + 1) % len(g.live)
			entries = append(entries, s.refresh(at.Sub(s.began)))
		}
	}
	return entries
}

// BenchmarkPostgresWriteActivity moves last_activity of a thousand sessions.
func BenchmarkPostgresWriteActivity(b *testing.B) {
	l := newLedger(b)
	g := &generator{}
	if _, err := l.WriteEvents(b.Context(), g.logins(20_000)); err != nil {
		b.Fatal(err)
	}
	l.exec("VACUUM ANALYZE")
	uses := make([]session.Use, 1000)
	b.ReportAllocs()
	for b.Loop() {
		for i := range uses {
			g.now += time.Millisecond
			s := g.live[g.next]
			g.next = (g.next + 1) % len(g.live)
			uses[i] = session.Use{SessionID: s.id, At: noon.Add(g.now)}
		}
		if written, err := l.WriteActivity(b.Context(), uses); err != nil || len(written) != len(uses) {
			b.Fatalf("%d written, %v", len(written), err)
		}
	}
	b.ReportMetric(float64(len(uses)*b.N)/b.Elapsed().Seconds(), "rows/s")
}
