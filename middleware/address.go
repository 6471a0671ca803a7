package middleware

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/sessiongate/sessiongate/session"
)

// Addresses tells where requests come from. It works when asked, since most
// requests are answered without anybody wanting to know.
type Addresses struct{ trusted []netip.Prefix }

// NewAddresses returns an Addresses that believes the X-Forwarded-For of the
// proxies in the given networks, and of nobody where there are none.
func NewAddresses(trusted []netip.Prefix) *Addresses {
	a := &Addresses{trusted: make([]netip.Prefix, 0, len(trusted))}
	for _, p := range trusted {
		if addr := p.Addr(); addr.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
		}
		a.trusted = append(a.trusted, p.Masked())
	}
	return a
}

// Client returns the address of the client behind r, without a zone and never as
// IPv4-mapped IPv6. It is the zero Addr only where the peer has no IP address, as
// on a unix socket.
func (a *Addresses) Client(r *http.Request) netip.Addr {
	return clientAddress(r.RemoteAddr, r.Header["X-Forwarded-For"], a.trusted)
}

// Trusts says whether r comes straight from a trusted proxy, so that what it says
// of the request behind it may be believed.
func (a *Addresses) Trusts(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && isTrusted(plain(peer.Addr()), a.trusted)
}

// Origin returns where r came from, for sessions and events.
func (a *Addresses) Origin(r *http.Request) session.Origin {
	o := session.Origin{UserAgent: session.CleanText(r.UserAgent(), session.MaxUserAgentBytes)}
	if addr := a.Client(r); addr.IsValid() {
		o.IP = addr.String()
	}
	return o
}

// clientAddress returns the right-most address that is not a trusted proxy's:
// the last hop that somebody whom we believe has seen with their own eyes. What
// stands left of it was written by that hop, and may be anything. Where all hops
// are trusted it is the first of them; where a hop can't be read, the one that
// vouched for it. A peer that is not trusted is the client, whatever it sends.
func clientAddress(remote string, forwarded []string, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	last := plain(peer.Addr())
	for i := len(forwarded) - 1; i >= 0; i-- {
		for rest, more := forwarded[i], true; more; {
			if !isTrusted(last, trusted) {
				return last
			}
			var hop string
			rest, hop, more = cutLast(rest)
			addr, ok := parseHop(hop)
			if !ok {
				return last
			}
			last = addr
		}
	}
	return last
}

// cutLast splits a list at its last comma; more says whether before has a rest.
func cutLast(list string) (before, last string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// parseHop reads one entry of X-Forwarded-For: an address, in brackets or not,
// with a port or not.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	if addr, err := netip.ParseAddr(s); err == nil {
		return plain(addr), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plain(ap.Addr()), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			addr, err := netip.ParseAddr(inner)
			return plain(addr), err == nil && addr.Is6()
		}
	}
	return netip.Addr{}, false
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
