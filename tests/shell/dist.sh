#!/bin/bash
# dist.sh DIR OS/ARCH...: makes the directory DIR with what users get, for each platform:
#
#     ocipipe-VERSION-OS-ARCH.tar.gz   the tools, each a binary, on Linux static, with man pages,
#                                      completion for shells, and the licences of what they link
#     ocipipe-VERSION-OS-ARCH          all tools in one binary
#     ocipipe_VERSION_ARCH.deb         for Linux: that binary, links to it, man pages, ...
#     SHA256SUMS
#
# The same sources, toolchain, VERSION, SOURCE_DATE_EPOCH and MAINTAINER give the same bytes.
# Without these variables the version, the time and the name are those of the commit. After a
# failure or a signal DIR is as it was.
set -euo pipefail

export LC_ALL=C TZ=UTC CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0 GOFLAGS="${GOFLAGS:-} -buildvcs=false"
umask 022
out=$(realpath -m -- "$1")
shift
cd "$(dirname "$0")/../.."
go=${GO:-go}
stage=$(mktemp -d)
fresh=  # becomes DIR
trap 'chmod -R u+w "$stage"; rm -rf "$stage" ${fresh:+"$fresh"}' EXIT
# What runs then ends first, so that it leaves nothing either.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
	printf 'dist: %s\n' "$*" >&2
	exit 1
}

# made_here DIR reports whether it holds what this makes, and nothing else.
made_here() { [ -f "$1/SHA256SUMS" ] && [ -z "$(find "$1" -mindepth 1 ! -name 'ocipipe[-_]*' ! -name SHA256SUMS)" ]; }

# documents DIR puts README.md there, and below what it links to.
documents() {
	local file mode
	install -m 644 README.md "$1/"
	grep -o ']([a-z][^):]*)' README.md | sed 's/^](//; s/)$//' | sort -u | while read -r file; do find "$file" -type f; done |
		while read -r file; do
			mode=644
			[ ! -x "$file" ] || mode=755
			install -D -m "$mode" "$file" "$1/$file"
		done
}

# describe prints the version of the commit: its tag, or that it has none and the day.
describe() {
	local text
	if text=$(git describe --tags --match 'v[0-9]*' --dirty=-modified 2>/dev/null); then
		text=${text#v}
		echo "${text//-/+}"
	else
		text=$(git describe --always --exclude '*' --abbrev=12 --dirty=+modified) || return
		echo "0.0.0+git$(git log -1 --format=%cd --date=format-local:%Y%m%d).$text"
	fi
}

[ ! -e "$out" ] || made_here "$out" || fail "$out: exists, and was not made by this"
for target in "$@"; do
	[[ $target == ?*/?* ]] || fail "$target is not OS/ARCH"
done
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null)} || fail "no commit: set SOURCE_DATE_EPOCH"
version=${VERSION:-$(describe 2>/dev/null)} || fail "no commit: set VERSION"
maintainer=${MAINTAINER:-$(git log -1 --format='%an <%ae>' 2>/dev/null)} || fail "no commit: set MAINTAINER"
[[ $epoch =~ ^[0-9]+$ ]] || fail "SOURCE_DATE_EPOCH: ${epoch@Q} is not a number of seconds since 1970"
[[ $version =~ ^[0-9][A-Za-z0-9.+~]*$ ]] || fail "VERSION: ${version@Q} is not a digit, and then letters, digits, and . + ~"
[[ $maintainer =~ ^[^$'\n'\<\>]+\ \<[^[:space:]\<\>]+@[^[:space:]\<\>]+\>$ ]] || fail "MAINTAINER: ${maintainer@Q} is not NAME <ADDRESS>"
export SOURCE_DATE_EPOCH=$epoch
fresh=$(mktemp -d "$(dirname -- "$out")/.dist.XXXXXX")
mkdir "$fresh/dist"
goroot=$("$go" env GOROOT)
[ -f "$goroot/LICENSE" ] || fail "$goroot has no LICENSE, which has to go with the binaries"

# build OS ARCH DIR PACKAGE... builds the programs for that platform.
build() {
	local os=$1 arch=$2 dir=$3 flags="-s -w -buildid= -X ocipipe/lib/cli.release=$version"
	shift 3
	case $os/$arch in
	linux/amd64 | linux/arm64) flags+=' -E=ocipipe_start' ;; # see lib/cli/streams_linux.go
	esac
	mkdir -p "$dir"
	GOOS=$os GOARCH=$arch "$go" build -trimpath -ldflags "$flags" -o "$dir/" "$@"
}

# licences OS ARCH prints the licences of what the programs for that platform link. It fails if a
# module has none.
licences() {
	local file module release dir
	local -A found=()
	for file in LICENSE* COPYING* NOTICE*; do
		[ ! -f "$file" ] || printf '%s\n\n%s\n\n' "ocipipe, $file:" "$(<"$file")"
	done
	printf 'The Go runtime and standard library, LICENSE:\n\n%s\n\n' "$(<"$goroot/LICENSE")"
	GOOS=$1 GOARCH=$2 "$go" list -deps -f "$of_modules" ./cmd/... | sort -u | {
		while read -r module release dir; do
			: "${found[$module]:=}"
			for file in "$dir"/{LICEN[CS]E,COPYING,NOTICE}*; do
				[ -f "$file" ] || continue
				[[ $file == */NOTICE* ]] || found[$module]=yes
				printf '%s %s, %s:\n\n%s\n\n' "$module" "$release" "${file##*/}" "$(<"$file")"
			done
		done
		for module in "${!found[@]}"; do
			[ "${found[$module]}" ] || fail "$module has no licence, which has to go with the binaries"
		done
	}
}

# of_modules has go list print a line for the directory of each package of a module, and for that
# of the module.
# shellcheck disable=SC2016 # for go list
of_modules='{{$dir := .Dir}}{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}
{{.Path}} {{.Version}} {{$dir}}{{end}}{{end}}'

# archive DIR FILE packs the directory, whose parent is the top of the archive.
archive() {
	tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="@$epoch" \
		-C "${1%/*}" -cf - "${1##*/}" | gzip -n >"$2"
}

# package ARCH BINARY LICENCES FILE makes a Debian package of the binary.
package() {
	local root=$stage/root-$1 doc name size
	doc=$root/usr/share/doc/ocipipe
	mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/share/zsh" "$doc" "$root/usr/share/lintian/overrides"
	install -m 755 "$2" "$root/usr/bin/ocipipe"
	while read -r name; do
		ln -s ocipipe "$root/usr/bin/$name"
	done <"$stage/names"
	cp -r "$stage/share" "$root/usr/"
	mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
	gzip -9n "$root"/usr/share/man/man1/*
	copyright >"$doc/copyright"
	gzip -9n <"$3" >"$doc/LICENSES.gz"
	{
		printf 'ocipipe (%s) unstable; urgency=medium\n\n  * Built from the sources of this version.\n\n' "$version"
		printf ' -- %s  %s\n' "$maintainer" "$(date -u -R -d "@$epoch")"
	} | gzip -9n >"$doc/changelog.gz"
	documents "$doc"
	# Static is what these tools are meant to be: they run in an initramfs.
	echo 'ocipipe: statically-linked-binary' >"$root/usr/share/lintian/overrides/ocipipe"
	(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
	size=$(find "$root/usr" -printf '%y %s\n' | awk '{ kib += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print kib }')
	control "$1" "$size" >"$root/DEBIAN/control"
	find "$root" -exec touch -h -d "@$epoch" {} +
	dpkg-deb --root-owner-group -Zxz --threads-max=1 --build "$root" "$4" >/dev/null
}

# copyright prints that file of the package.
copyright() {
	local file stated=
	for file in LICENSE* COPYING*; do
		[ -f "$file" ] || continue
		stated=yes
		printf '%s\n\n' "$(<"$file")"
	done
	[ "$stated" ] || printf 'The sources of ocipipe state no licence.\n\n'
	cat <<-'END'
		The binary links the Go runtime, the Go standard library, and Go modules. Their
		licences are in LICENSES.gz beside this file. The Apache License, Version 2.0, which
		is that of some of the modules, is on Debian systems also in
		/usr/share/common-licenses/Apache-2.0.
	END
}

# control ARCH KIB prints the control file of the package.
control() {
	cat <<-END
		Package: ocipipe
		Version: $version
		Architecture: $1
		Maintainer: $maintainer
		Installed-Size: $2
		Section: utils
		Priority: optional
		Recommends: ca-certificates
		Description: filters that turn OCI container images into bootable VM disks
		 Small tools, each of which does one step from standard input to standard
		 output: they fetch images from registries, merge their layers, write EROFS
		 and ext4 file systems and VMDK disks, and make images of changed disks.
		 They need no root, no daemon and no mounts, and the same input gives the
		 same bytes.
	END
}

build "$("$go" env GOHOSTOS)" "$("$go" env GOHOSTARCH)" "$stage/host" ./cmd/ocipipe
host=$(echo "$stage"/host/*)
"$host" --list >"$stage/names"
mkdir "$stage/links"
cp "$host" "$stage/links/ocipipe"
"$stage/links/ocipipe" --install "$stage/links"
tests/shell/man.sh "$stage/links" "$stage/share"

for target in "$@"; do
	os=${target%/*} arch=${target#*/}
	name=ocipipe-$version-$os-$arch
	echo "dist: $name"
	tree=$stage/$name
	suffix=
	[ "$os" != windows ] || suffix=.exe
	build "$os" "$arch" "$tree/bin" ./cmd/...
	cp -r "$stage/share" "$tree/"
	licences "$os" "$arch" >"$tree/LICENSES"
	find "$tree/share" -name '*ocipipe*' -delete
	documents "$tree"
	mv "$tree/bin/ocipipe$suffix" "$fresh/dist/$name$suffix"
	archive "$tree" "$fresh/dist/$name.tar.gz"
	if [ "$os" = linux ] && command -v dpkg-deb >/dev/null; then
		package "$arch" "$fresh/dist/$name" "$tree/LICENSES" "$fresh/dist/ocipipe_${version}_$arch.deb"
	fi
	rm -rf "$tree" "$stage/root-$arch"
done
command -v dpkg-deb >/dev/null || echo "dist: no dpkg-deb, so there are no Debian packages"
(cd "$fresh/dist" && sha256sum -- *) >"$stage/SHA256SUMS"
mv "$stage/SHA256SUMS" "$fresh/dist/"
trap '' HUP INT TERM # both renames, or none
[ ! -e "$out" ] || mv -T "$out" "$fresh/last"
mv -T "$fresh/dist" "$out"
