package gateways

import (
	"fmt"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// recipe is a gateway with one of the configurations that are shipped for it.
type recipe struct {
	name   string
	folder string
	run    func(t *testing.T, dir, addr string) *child

	lag         time.Duration // how long a session that has ended may still be let through
	introspects bool          // no cookie counts, and no token is no question
	unknown     int           // status when nobody can know whether a session is good
}

var recipes = []recipe{
	{name: "nginx", folder: "nginx", run: nginx("sessiongate.conf"), unknown: http.StatusServiceUnavailable},
	// nginx counts whole seconds: 2 s of cache last up to 3.
	{name: "nginx, cache", folder: "nginx", run: nginx("sessiongate-cache.conf"), lag: 3 * time.Second, unknown: http.StatusServiceUnavailable},
	{name: "nginx, njs", folder: "nginx", run: nginx("sessiongate-njs.conf"), introspects: true, unknown: http.StatusServiceUnavailable},
	{name: "caddy", folder: "caddy", run: caddy, unknown: http.StatusServiceUnavailable},
	{name: "haproxy", folder: "haproxy", run: haproxy, unknown: http.StatusServiceUnavailable},
	// Their README says what they cannot do.
	{name: "apache-openidc", folder: "apache-openidc", run: apache("auth_openidc"), introspects: true, unknown: http.StatusUnauthorized},
	{name: "apache-oauth2", folder: "apache-oauth2", run: apache("oauth2"), introspects: true, unknown: http.StatusUnauthorized},
}

// placeholder is what the operator of a gateway fills in.
var placeholder = regexp.MustCompile(`@[A-Z_]+@`)

// start runs the gateway in front of the application and returns its URL.
func (r *recipe) start(t *testing.T, g *gate, a *application) (url string) {
	t.Helper()
	_, addr := serve(t, func(addr string) *child {
		dir := readable(t)
		r.fill(t, dir, strings.NewReplacer(
			"@LISTEN@", addr,
			"@SESSIONGATE@", g.addr,
			"@UPSTREAM@", a.Listener.Addr().String(),
			"@CLIENT_ID@", clientID,
			"@CLIENT_SECRET@", clientSecret,
			"@SCOPE@", adminScope,
			"@PASSPHRASE@", tokensSecret,
			"@CACHE@", filepath.Join(dir, "cache"),
			"@DIR@", dir,
		))
		return r.run(t, dir, addr)
	}, "/", http.StatusUnauthorized)
	return "http://" + addr
}

// readable returns a directory that Apache can read from, which gives up being root;
// t.TempDir's parent is for its owner alone.
func readable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sessiongate-gateways-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fill copies the shipped files with the placeholders filled in.
func (r *recipe) fill(t *testing.T, dir string, values *strings.Replacer) {
	t.Helper()
	shipped := filepath.Join("../../deploy/gateways", r.folder)
	files, err := os.ReadDir(shipped)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(shipped, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		filled := values.Replace(string(text))
		if left := placeholder.FindString(filled); left != "" && f.Name() != "README.md" {
			t.Errorf("%s/%s: nothing known about %s", r.folder, f.Name(), left)
		}
		write(t, filepath.Join(dir, f.Name()), filled)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sbin is where Debian keeps servers, which is not in every PATH.
func sbin(name string) string { return "/usr/sbin/" + name }

// nginx runs a configuration within the least that nginx needs around it.
func nginx(config string) func(t *testing.T, dir, addr string) *child {
	return func(t *testing.T, dir, _ string) *child {
		t.Helper()
		var temp strings.Builder
		for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			fmt.Fprintf(&temp, "%s_temp_path %s/%s;\n", what, dir, what)
		}
		write(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`
load_module /usr/lib/nginx/modules/ngx_http_js_module.so;
%s
worker_processes 1;
daemon off;
pid %s/nginx.pid;
error_log stderr;
events { worker_connections 256; }
http {
access_log off;
%s
include %s;
}`, asSelf(t, "user %s %s;"), dir, temp.String(), filepath.Join(dir, config)))
		return launch(t, dir, nil, sbin("nginx"), "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	}
}

// asSelf is what tells a server to stay the user that started it, which it does by
// itself unless that is root.
func asSelf(t *testing.T, format string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return ""
	}
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(format, u.Username, g.Name)
}

// caddy runs without the admin interface, which has a port of its own.
func caddy(t *testing.T, dir, _ string) *child {
	t.Helper()
	config := filepath.Join(dir, "test.Caddyfile")
	write(t, config, "{\n\tadmin off\n}\nimport "+filepath.Join(dir, "Caddyfile")+"\n")
	return launch(t, dir, nil, "caddy", "run", "--adapter", "caddyfile", "--config", config)
}

func haproxy(t *testing.T, dir, _ string) *child {
	t.Helper()
	return launch(t, dir, nil, sbin("haproxy"), "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
}

// apache runs a configuration with the module that it is for. Apache refuses to
// serve as root.
func apache(module string) func(t *testing.T, dir, addr string) *child {
	return func(t *testing.T, dir, _ string) *child {
		t.Helper()
		identity := ""
		if os.Geteuid() == 0 {
			identity = "User nobody\nGroup nogroup\n"
		}
		var modules strings.Builder
		for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "headers", "proxy", "proxy_http", "lua", "rewrite", module} {
			fmt.Fprintf(&modules, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
		}
		config := filepath.Join(dir, "httpd.conf")
		write(t, config, fmt.Sprintf("%sServerRoot %s\nDefaultRuntimeDir %s\nPidFile %s/httpd.pid\nServerName localhost\nErrorLog /dev/stderr\n%sInclude %s\n",
			modules.String(), dir, dir, dir, identity, filepath.Join(dir, "sessiongate.conf")))
		return launch(t, dir, nil, sbin("apache2"), "-X", "-f", config)
	}
}
