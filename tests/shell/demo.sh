#!/bin/bash
# demo.sh [IMAGE]: turns an image into an EROFS disk, in the directory demo, and
# shows it. IMAGE is any reference that oci-fetch takes. Without it, demo.sh uses a
# small image that the repository makes itself. Where the repository is read-only, it uses
# the image that an earlier demo.sh made there, and a directory in $TMPDIR.
set -euo pipefail

cd "$(dirname "$0")/../.."
if [ -w . ]; then
	demo=demo
	rm -rf demo
	mkdir demo
else
	demo=$(mktemp -d)
	trap 'rm -rf "$demo"' EXIT
fi
PATH=$PWD/bin:$PATH:/usr/sbin:/sbin
excerpt=" | sed -n 1,40p" # a real image would print pages

# show LINE prints the shell line and runs it.
show() {
	printf '\n$ %s\n' "$1"
	bash -c "$1"
}

if [ -n "${1:-}" ]; then
	printf -v ref %q "$1"
else
	ref=oci:demo/image:demo
	excerpt=
	if [ "$demo" = demo ]; then
		echo "making a small image of three layers in demo/image"
		mkdir demo/image
		"${GO:-go}" run ./lib/reftest/demoimage demo/image
	elif [ ! -e demo/image ]; then
		echo "demo: $PWD is read-only and has no demo/image: run make demo before, or name an image" >&2
		exit 1
	fi
fi
printf -v out %q "$demo"

show "oci-fetch --list $ref"
show "oci-fetch $ref | tar2tree | tree2erofs > $out/rootfs.erofs"
show "ls -l $out/rootfs.erofs"
show "erofs2tree --no-data $out/rootfs.erofs$excerpt"

# Reading the image back gives the tree that it was made of, so the same image.
show "erofs2tree $out/rootfs.erofs | tree2erofs --check | cmp - $out/rootfs.erofs && echo checked"

if [ "$(id -u)" != 0 ]; then
	printf '\nnot root, so it is not mounted; as root: mount -t erofs -o ro,loop %s/rootfs.erofs /mnt\n' "$out"
	exit
fi
mkdir "$demo/mnt"
if show "mount -t erofs -o ro,loop $out/rootfs.erofs $out/mnt"; then
	trap 'umount "$demo/mnt"; [ "$demo" = demo ] || rm -rf "$demo"' EXIT
	show "ls -lR $out/mnt$excerpt"
	if [ -z "${1:-}" ]; then
		# Not every machine has it, and the demo needs Go and make alone.
		if command -v getcap >/dev/null; then
			show "getcap $out/mnt/bin/ping"
		fi
		show "chroot $out/mnt /init"
	fi
else
	echo "it cannot be mounted here"
fi
