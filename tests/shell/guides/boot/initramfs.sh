#!/bin/sh
# initramfs.sh /lib/modules/VERSION writes an initramfs: init and start, which lie beside this
# file, busybox, and those modules for them that the kernel does not have in itself. It needs
# cpio, and a static busybox (BUSYBOX names another).
set -eu
[ $# = 1 ] || { echo "usage: initramfs.sh /lib/modules/VERSION >initramfs" >&2 && exit 2; }
modules=$(cd "$1" && pwd)
version=${modules##*/}
busybox=${BUSYBOX:-$(command -v busybox)}
! ldd "$busybox" >/dev/null 2>&1 || { echo "initramfs.sh: $busybox: not static; Debian has it in busybox-static" >&2 && exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cd "$(dirname "$0")"
mkdir -p "$root/bin" "$root/dev" "$root/lower" "$root/proc" "$root/root" "$root/sys" "$root/upper" "$root/lib/modules/$version"
cp init start "$root"
cp "$busybox" "$root/bin/busybox"
chmod 755 "$root" "$root/init" "$root/start" "$root/bin/busybox"
cd "$modules"
[ -e modules.dep ] || "$root/bin/busybox" depmod -b "${modules%/lib/modules/*}" "$version"
for name in virtio_pci virtio_mmio virtio_blk erofs overlay ext4; do
	sed -n "s|^\([^:]*/\)*$name\.ko[.a-z]*:.*|&|p" modules.dep
done | tr -d : | tr ' ' '\n' | sort -u | cpio --quiet -pd "$root/lib/modules/$version"
# The kernel would complain of each that busybox hands to it as it is.
find "$root/lib/modules" -name '*.xz' -exec "$root/bin/busybox" unxz {} +
cd "$root"
bin/busybox depmod -b . "$version"
find . | LC_ALL=C sort | cpio --quiet -o -H newc | gzip -n
