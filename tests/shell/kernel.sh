#!/bin/bash
# Unpacks a kernel from Debian's package, without installing it, for the virtual
# machines of boot.sh, and prints the directory that holds it: vmlinuz, and in modules/
# the modules that the machines load, in that order.
#
#     kernel.sh default|newer
#
# default is the kernel of this Debian (6.1 in version 12), newer the newest other
# kernel that it has, if that is 6.10 or later. The directories lie beside those of
# images.sh. Exit code 3 says that no such kernel is available.
set -euo pipefail
shopt -s inherit_errexit

cache=${OCIPIPE_IMAGES:-${XDG_CACHE_HOME:-$HOME/.cache}/ocipipe-images}
wanted='virtio_pci virtio_mmio virtio_blk erofs overlay' # as modules or in the kernel itself

cannot() {
	echo "kernel.sh: $1" >&2
	exit 3
}

# metapackage prints the name of the package that depends on the newest build.
metapackage() {
	case $1 in
	default) echo linux-image-cloud-amd64 ;;
	newer)
		apt-cache pkgnames linux-image- | sed -nE 's/^linux-image-([0-9]+\.[0-9]+)-cloud-amd64$/\1/p' |
			sort -V | awk -F. '$1 > 6 || $1 == 6 && $2 >= 10 { v = $0 } END { if (v) print "linux-image-" v "-cloud-amd64" }'
		;;
	*)
		echo "usage: kernel.sh default|newer" >&2
		exit 2
		;;
	esac
}

# build prints the package that holds the kernel, or nothing.
build() { { apt-cache depends "$1" 2>/dev/null || true; } | sed -nE 's/^ *Depends: (linux-image-[0-9].*)/\1/p'; }

# download PACKAGE downloads it. Root gets new lists if the archive has moved on.
download() {
	apt-get -q download "$1" && return
	[ "$(id -u)" = 0 ] && apt-get -q update && apt-get -q download "$1"
}

# module NAME copies the module, after those that it depends on.
module() {
	local file dep
	file=$(find lib/modules -name "$1.ko" -o -name "$1.ko.xz")
	[ -n "$file" ] || return 0 # in the kernel itself
	if [[ $file == *.xz ]]; then
		xz -dc "$file" >"$1.ko"
	else
		cp "$file" "$1.ko"
	fi
	for dep in $(grep -a -o 'depends=[a-zA-Z0-9_,-]*' "$1.ko" | head -n 1 | sed 's/^depends=//; s/,/ /g'); do
		module "$dep"
	done
	[ -n "$(find modules -name "??-$1.ko")" ] && rm "$1.ko" && return
	mv "$1.ko" "$(printf 'modules/%02d-%s.ko' "$(find modules -type f | wc -l)" "$1")"
}

unpack() {
	local name
	download "$1"
	mkdir modules
	dpkg-deb --fsys-tarfile ./*.deb | tar -x ./boot ./lib/modules
	mv boot/vmlinuz-* vmlinuz
	for name in $wanted; do
		module "$name"
	done
	rm -rf boot lib ./*.deb
}

[ "$(uname -m)" = x86_64 ] || cannot "only for x86_64"
command -v apt-get >/dev/null || cannot "not a Debian, where the kernel comes from"
# A new machine may have no lists of packages yet.
if [ -z "$(build linux-image-cloud-amd64)" ] && [ "$(id -u)" = 0 ]; then
	apt-get -qq update >&2 || true
fi
meta=$(metapackage "${1:-}")
[ -n "$meta" ] || cannot "this Debian has no kernel of 6.4 or later"
package=$(build "$meta")
[ -n "$package" ] || cannot "apt-get knows no package $meta"
dir=$cache/kernel-${package#linux-image-}-2 # another number for other modules
if [ ! -d "$dir" ]; then
	mkdir -p "$cache"
	exec 9>"$cache/lock-kernel"
	flock 9
fi
if [ ! -d "$dir" ]; then
	tmp=$(mktemp -d -p "$cache" tmp-kernel.XXXXXX)
	trap 'rm -rf "$tmp"' EXIT
	echo "kernel.sh: loading $package" >&2
	# In the background, because "set -e" means nothing on the left of ||.
	(
		cd "$tmp"
		unpack "$package" 9>&-
	) </dev/null >"$cache/kernel.log" 2>&1 &
	wait $! || {
		tail -n 5 "$cache/kernel.log" >&2
		cannot "$package cannot be loaded"
	}
	chmod 755 "$tmp"
	mv "$tmp" "$dir"
fi
echo "$dir"
