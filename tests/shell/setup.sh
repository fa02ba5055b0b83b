#!/bin/bash
# Finds the tools that the tests use. As root on a Debian it installs those that
# are missing; otherwise it names them with what is skipped without them. Under
# CI=true a missing tool is a failure.
set -euo pipefail

# command, Debian package or go:PACKAGE, what needs it
needs='
bats            bats             tests of the tools in tests/shell
shellcheck      shellcheck       lint of shell files
gcc             gcc              race detector
mkfs.erofs      erofs-utils      EROFS: comparison with the reference tools
fsck.erofs      erofs-utils      EROFS: comparison with the reference tools
dump.erofs      erofs-utils      EROFS: comparison with the reference tools
mke2fs          e2fsprogs        ext4: comparison with the reference tools
fuse2fs         fuse2fs          ext4: images read by another implementation
qemu-img        qemu-utils       VMDK: comparison with the reference tools
qemu-system-x86_64 qemu-system-x86 disks booted
cpio            cpio             disks booted
xz              xz-utils         disks booted
skopeo          skopeo           OCI images made and read by others
crane           go:github.com/google/go-containerregistry/cmd/crane@v0.22.1 OCI images read by others
umoci           umoci            layers unpacked by others
bsdtar          libarchive-tools tar and mtree read by others
mtree           mtree-netbsd     mtree read by others
docker-registry docker-registry  fetching from a registry
htpasswd        apache2-utils    fetching from a registry with a password
curl            curl             fetching from a registry that misbehaves
busybox         busybox-static   a real root file system
debootstrap     debootstrap      a real root file system
npm             npm              a real image of many small files
setfattr        attr             extended attributes
getcap          libcap2-bin      capabilities
zstd            zstd             compressed layers
python3         python3          filters written from FORMAT.md
jq              jq               JSON output
strace          strace           processes killed at each system call
file            file             whether the tools are static
losetup         mount            mounted images
'

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# each calls $1 with the words of each line whose command is not installed.
each_missing() {
	local command package why
	while read -r command package why; do
		if [ -n "$command" ] && ! command -v "$command" >/dev/null; then
			"$1" "$command" "$package" "$why"
		fi
	done <<<"$needs"
}

package() { printf '%s\n' "$2"; }
report() { printf 'setup: no %s (package %s), so this is skipped: %s\n' "$1" "$2" "$3"; }

mapfile -t packages < <(each_missing package | grep -v ^go: | sort -u)
if [ ${#packages[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
	echo "setup: installing ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update || true
	# One by one where all at once fails: what can be had is worth having.
	apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null ||
		for p in "${packages[@]}"; do apt-get -qq install -y --no-install-recommends "$p" >/dev/null || true; done
fi
if [ "$(id -u)" = 0 ]; then
	each_missing package | sed -n s/^go://p | while read -r p; do
		echo "setup: installing $p"
		GOBIN=/usr/local/bin "${GO:-go}" install "$p" || true
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
