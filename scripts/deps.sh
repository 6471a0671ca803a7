#!/bin/sh
# deps.sh installs what `make run` and `make test` need and what is missing:
# redis-server and PostgreSQL, which both start as private processes, and a C
# compiler, which the race detector needs. `deps.sh gateways` adds those that the
# tests of deploy/gateways start: nginx, Caddy, HAProxy, Apache; `deps.sh node`
# Node.js and npm, for the foreign libraries that the tests try (e2e/foreign);
# `deps.sh chromium` a browser, for the client libraries (clients); `deps.sh dart` what
# scripts/dart.sh needs, beside Node.js; `deps.sh bench` wrk, which `make bench` loads
# the gateway with. It starts no service of the system
# and leaves none that would start at the next
# boot. With everything there it does nothing, quickly.
#
# Debian and Ubuntu: apt-get, as root or through sudo. macOS: Homebrew, without the
# gateways, whose modules it does not have; e2e/gateways is for Linux.
set -eu

gateways=no node=no chromium=no dart=no bench=no
for more in "$@"; do
	case $more in
	gateways) [ "$(uname -s)" = Darwin ] || gateways=yes ;;
	node) node=yes ;;
	chromium) chromium=yes ;;
	dart) dart=yes ;;
	bench) bench=yes ;;
	esac
done

say() { printf 'deps: %s\n' "$*"; }
fail() {
	say "$*" >&2
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# any says whether one of the paths exists; patterns that match nothing don't.
any() {
	for path in "$@"; do
		[ -e "$path" ] && return 0
	done
	return 1
}

# The same places that internal/devstack looks in.
have_redis() {
	have redis-server || any /opt/homebrew/opt/redis*/bin/redis-server /usr/local/opt/redis*/bin/redis-server
}
have_postgres() {
	have initdb || any /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb \
		/opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb
}
have_cc() { have "${CC:-gcc}" || have cc; }
have_node() { have node && have npm; }

# The same places that clients/typescript/test looks in.
have_chromium() {
	any "${CHROMIUM:-/usr/bin/chromium}" /usr/bin/chromium-browser \
		/Applications/Chromium.app /Applications/Google\ Chrome.app
}

# The Dart VM is a 32-bit program, and some kernels run none.
have_libc32() { any /lib/ld-linux.so.2; }
have_emulator() { /lib/ld-linux.so.2 --version >/dev/null 2>&1 || have qemu-i386 || have qemu-i386-static; }

# The same places that e2e/gateways looks in: Debian's. A plain user's PATH has no
# /usr/sbin.
have_gateway() { have "$1" || any "/usr/sbin/$1"; }
have_nginx() { have_gateway nginx && any /usr/lib/nginx/modules/ngx_http_js_module.so; }
have_apache() {
	have_gateway apache2 && any /usr/lib/apache2/modules/mod_auth_openidc.so &&
		any /usr/lib/apache2/modules/mod_oauth2.so
}

missing() {
	have_redis || echo redis
	have_postgres || echo postgresql
	have_cc || echo compiler
	[ "$node" = no ] || have_node || echo node
	[ "$chromium" = no ] || have_chromium || echo chromium
	[ "$dart" = no ] || { have_libc32 && have_emulator; } || echo dart
	[ "$bench" = no ] || have wrk || echo wrk
	[ "$gateways" = yes ] || return 0
	have_nginx || echo nginx
	have_gateway caddy || echo caddy
	have_gateway haproxy || echo haproxy
	have_apache || echo apache
}

# ---------------------------------------------------------------- Debian, Ubuntu

policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
made_policy= saved_cluster=

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q \
		-o Dpkg::Use-Pty=0 --no-install-recommends "$@"
}

restore() {
	[ -z "$made_policy" ] || as_root rm -f "$policy"
	[ -z "$saved_cluster" ] || as_root mv -f "$saved_cluster" "$cluster"
	made_policy= saved_cluster=
}

# Package scripts ask policy-rc.d whether they may start their service; 101 is no.
forbid_services() {
	[ -e "$policy" ] && return
	made_policy=yes
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
}

# Debian makes a database cluster, and a service for it, with the server.
forbid_cluster() {
	apt install postgresql-common
	saved_cluster=$cluster.before-sessiongate
	as_root cp -p "$cluster" "$saved_cluster"
	echo 'create_main_cluster = false' | as_root tee -a "$cluster" >/dev/null
}

# apache2-bin is the server without the site, and without a service.
nginx='nginx libnginx-mod-http-js'
apache='apache2-bin libapache2-mod-auth-openidc libapache2-mod-oauth2'

# dormant keeps a service, which a package brought with it, from starting at the
# next boot.
dormant() {
	! have systemctl || as_root systemctl disable "$1" >/dev/null 2>&1 || true
}

# install_service installs a package, with others, whose service has its name. A
# service that was there before is somebody's.
install_service() {
	if dpkg -s "$1" >/dev/null 2>&1; then
		apt install "$@"
	else
		apt install "$@"
		dormant "$1"
	fi
}

install_apt() {
	if [ "$(id -u)" -ne 0 ] && ! have sudo; then
		fail "run as root: apt-get install$(echo " $1" |
			sed "s/ redis/ redis-server/; s/ compiler/ gcc libc6-dev/; s/ node/ nodejs npm/; s/ dart/ libc6-i386 qemu-user/; s/ nginx/ $nginx/; s/ apache/ $apache/")"
	fi
	trap restore EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	forbid_services
	apt update
	for what in $1; do
		case $what in
		redis) install_service redis-server ;;
		postgresql)
			forbid_cluster
			apt install postgresql
			;;
		compiler) apt install gcc libc6-dev ;;
		node)
			apt install nodejs
			# Other packagers' nodejs comes with npm, and does not go with Debian's.
			have npm || apt install npm
			;;
		chromium) apt install chromium ;;
		dart)
			[ "$(uname -m)" = x86_64 ] || fail "there is no Dart VM for this machine, only for Linux on x86"
			apt install libc6-i386
			have_emulator || apt install qemu-user
			;;
		# Each of $nginx and $apache is several words.
		nginx) install_service $nginx ;;
		caddy) install_service caddy ;;
		haproxy) install_service haproxy ;;
		wrk) apt install wrk ;;
		apache) apt install $apache ;;
		esac
	done
	restore
}

# ------------------------------------------------------------------------- macOS

install_brew() {
	have brew || fail "Homebrew is needed (https://brew.sh), or install by hand: $1"
	for what in $1; do
		case $what in
		redis) brew install redis ;;
		postgresql) brew install postgresql@17 ;;
		compiler) fail 'install the command line tools first: xcode-select --install' ;;
		node) brew install node ;;
		chromium) brew install --cask chromium ;;
		dart) fail 'there is no Dart VM for this system, only for Linux on x86: run the tests there, or in a container' ;;
		wrk) brew install wrk ;;
		esac
	done
}

# -------------------------------------------------------------------------------

list=$(missing | tr '\n' ' ')
list=${list% }
[ -n "$list" ] || exit 0
say "missing: $list"

if have apt-get; then
	install_apt "$list"
elif [ "$(uname -s)" = Darwin ]; then
	install_brew "$list"
else
	fail "install by hand: redis-server 7.0 or later, PostgreSQL 13 or later (initdb and postgres), gcc;" \
		"for the tests Node.js 20 or later with npm, Chromium, a 32-bit C library, nginx with njs, Caddy, HAProxy 2.6 or later, Apache with mod_auth_openidc and mod_oauth2"
fi

list=$(missing | tr '\n' ' ')
[ -z "$list" ] || fail "installed, but still not found: $list"
say "done; no service of the system was started"
