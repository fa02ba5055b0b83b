#!/bin/bash
# Installs microsandbox for tests, unless it is installed already, and prints the path of
# its program.
#
#     msb.sh VERSION
#
# It comes from npm, and lies in $OCIPIPE_MSB, by default ~/.cache/ocipipe-msb. Nothing of
# it runs but what a test runs. Exit code 3 says that it cannot be installed here (no
# network, no npm, another processor).
set -euo pipefail

version=${1:?which version}
cache=${OCIPIPE_MSB:-${XDG_CACHE_HOME:-$HOME/.cache}/ocipipe-msb}
name=microsandbox-linux-x64-gnu
dir=$cache/$version

# The packages that are known, by version.
declare -A sha256=(
	[0.6.14]=ca375d2e79f7080d6caf55b6cc779c27dac37e93872fb206e01d73893aa5dbc5
	[0.7.2]=7aacbb9ab86a152813d005c6ba12551b104997be9234a010a3473e4b2e9703e0
)

cannot() {
	echo "msb.sh: microsandbox $version: $1" >&2
	exit 3
}

[ -n "${sha256[$version]:-}" ] || {
	echo "msb.sh: no package of version $version is known" >&2
	exit 2
}
if [ ! -x "$dir/package/bin/msb" ]; then
	[ "$(uname -sm)" = "Linux x86_64" ] || cannot "not for $(uname -sm)"
	command -v npm >/dev/null || cannot "npm is not installed"
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock 9
	if [ ! -x "$dir/package/bin/msb" ]; then
		tmp=$(mktemp -d -p "$cache" "tmp-$version.XXXXXX")
		trap 'rm -rf "$tmp"' EXIT
		echo "msb.sh: getting microsandbox $version from npm" >&2
		(cd "$tmp" && timeout 300 npm pack --silent --fetch-retries=1 --fetch-timeout=30000 "@superradcompany/$name@$version" >&2 9>&-) ||
			cannot "npm cannot get it"
		tar=$tmp/superradcompany-$name-$version.tgz
		echo "${sha256[$version]}  $tar" | sha256sum --quiet --strict -c >&2
		tar -C "$tmp" -xzf "$tar" package/bin package/lib package/package.json
		rm -rf "$tar" "$dir"
		chmod 755 "$tmp"
		mv "$tmp" "$dir"
	fi
fi
echo "$dir/package/bin/msb"
