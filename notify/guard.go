package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

// Guard decides where requests may go. The zero Guard lets them go to https and
// public addresses only.
type Guard struct {
	Networks []netip.Prefix // that may be reached although they are not public
	HTTP     bool           // plain http is good enough
}

// special are networks that netip does not tell from public ones (IANA IPv4 and
// IPv6 Special-Purpose Address Registries); those that carry an IPv4 address
// inside could lead anywhere.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("fec0::/10"),
}

// errForbidden: the address is not one that requests may go to.
var errForbidden = errors.New("notify: the address is not public, and not in notify.allow_networks")

// allows says whether a connection may be made to the address.
func (g *Guard) allows(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(addr) }
	if slices.ContainsFunc(g.Networks, in) {
		return true
	}
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !slices.ContainsFunc(special, in)
}

// CheckURL reports why requests can't go to s, as a phrase, or nil. What its name
// stands for is only known, and judged, when it is connected to.
func (g *Guard) CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("must be a URL such as https://example.com/hook")
	case u.User != nil:
		return errors.New("must not hold credentials")
	case u.Scheme == "https", u.Scheme == "http" && g.HTTP:
	default:
		return errors.New("must begin with https://")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !g.allows(addr) {
		return errors.New("must not be a private address")
	}
	return nil
}

// client returns a client that goes where the guard lets it, directly, and follows
// nobody elsewhere. Addresses are judged after the name has been looked up, just
// before connecting: a name that means another address the second time gains
// nothing.
func (g *Guard) client(timeout time.Duration, config *tls.Config) *http.Client {
	dialer := &net.Dialer{
		Timeout: timeout,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !g.allows(to.Addr()) {
				return errForbidden
			}
			return nil
		},
	}
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    timeout,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           32,
			MaxIdleConnsPerHost:    4,
			MaxConnsPerHost:        16,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
	}
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

// do sends a request and returns the status and the beginning of the answer.
func do(client *http.Client, req *http.Request) (status int, body []byte, err error) {
	req.Header.Set("User-Agent", "sessiongate")
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, hideURL(err)
	}
	return answerOf(res)
}

func answerOf(res *http.Response) (status int, body []byte, err error) {
	defer res.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err != nil {
		err = fmt.Errorf("read the answer: %w", hideURL(err))
	}
	return res.StatusCode, body, err
}

// hideURL takes the address off an error of net/http: for a push service, and for
// many a webhook, it is a secret.
func hideURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
