#!/bin/bash
# Finds the tools that the tests use, which lib/reftest/tools.txt lists. As root on
# Debian it installs missing ones. Otherwise it names them, and the tests that are
# skipped without them. With CI=true a missing tool is a failure.
set -euo pipefail

tools=$(dirname "$0")/../../lib/reftest/tools.txt
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# is_installed COMMAND succeeds if the command is installed. A path names a file that is
# not a program.
is_installed() {
	case $1 in
	/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# each_missing calls $1 with the words of each line whose command is not installed.
each_missing() {
	local command package why
	while read -r command package why; do
		is_installed "$command" || "$1" "$command" "$package" "$why"
	done < <(grep '^[^#]' "$tools")
}

package() { printf '%s\n' "$2"; }
report() { printf 'setup: no %s (package %s), so this is skipped: %s\n' "$1" "$2" "$3"; }

mapfile -t packages < <(each_missing package | grep -v ^go: | sort -u)
if [ ${#packages[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
	echo "setup: installing ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update || true
	# If installing all at once fails, install as many as possible one by one.
	apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null ||
		for p in "${packages[@]}"; do apt-get -qq install -y --no-install-recommends "$p" >/dev/null || true; done
fi
if [ "$(id -u)" = 0 ]; then
	each_missing package | sed -n s/^go://p | while read -r p; do
		echo "setup: installing $p"
		(cd / && CGO_ENABLED=0 GOBIN=/usr/local/bin "${GO:-go}" install "$p") || true
	done
fi
missing=$(each_missing report)
if [ -n "$missing" ]; then
	printf '%s\n' "$missing"
	if [ "${CI:-}" = true ]; then
		echo "setup: CI=true, and these are missing" >&2
		exit 1
	fi
fi
