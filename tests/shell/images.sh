#!/bin/bash
# Makes an image or a layer of real files for tests and benchmarks, unless it
# exists already, and prints the directory that holds it.
#
#     images.sh NAME...
#
# The directories lie in $OCIPIPE_IMAGES, by default ~/.cache/ocipipe-images, and
# are never changed once made. Images are oci/, a layout with the tag "image";
# layers are layer.tar and layer.tar.gz. Exit code 3 says that an image cannot be
# made here (no network, not root).
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "${0%/*}" && pwd)
cache=${OCIPIPE_IMAGES:-${XDG_CACHE_HOME:-$HOME/.cache}/ocipipe-images}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL=C TZ=UTC
umask 022

# A recipe that changes what it makes gets a higher version.
declare -A version=(
	[busybox]=1 [debian-base]=1 [debian]=1 [npm-small]=1 [npm]=1 [stack]=1
	[debs]=1 [large]=1 [onedir]=1 [files]=1 [sparse]=2
	[split1]=1 [split3]=1 [split20]=1 [split40]=1 [split100]=1
)

cannot() {
	echo "images.sh: $1" >&2
	exit 3
}
need_root() { [ "$(id -u)" = 0 ] || cannot "$name: not root"; }
need() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null || cannot "$name: $tool is not installed"
	done
}

# pack DIR TAR writes the same bytes for the same tree, with everything that a layer
# can hold.
pack() {
	tar --format=posix --pax-option=delete=atime,delete=ctime --sort=name --numeric-owner \
		--xattrs --xattrs-include='*' --xattrs-exclude='trusted.*' -C "$1" -cf "$2" .
}

# compress makes layer.tar.gz, and keeps layer.tar.
compress() { gzip -n -6 <layer.tar >layer.tar.gz; }

# image TAR... makes the layout of an image with these layers.
image() {
	local layer
	umoci init --layout oci
	umoci new --image oci:image
	for layer in "$@"; do
		umoci raw add-layer --image oci:image --history.created 2024-01-01T00:00:00Z "$layer"
	done
	umoci gc --layout oci
}

# Layers made by umoci's own differ: all applets as hard links to one file, then as
# symlinks.
make_busybox() {
	need busybox umoci
	need_root
	local root=bundle/rootfs applet
	umoci init --layout oci
	umoci new --image oci:image
	umoci unpack --image oci:image bundle
	mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,usr/bin}
	chmod 1777 "$root/tmp"
	cp "$(command -v busybox)" "$root/bin/busybox"
	busybox --list | grep -vx busybox | while read -r applet; do
		ln "$root/bin/busybox" "$root/bin/$applet"
	done
	mknod -m 666 "$root/dev/null" c 1 3
	echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
	umoci repack --refresh-bundle --image oci:image bundle
	busybox --list | while read -r applet; do
		ln -s ../../bin/busybox "$root/usr/bin/$applet"
	done
	rm "$root/bin/vi"
	echo busybox >"$root/etc/hostname"
	umoci repack --refresh-bundle --image oci:image bundle
	umoci gc --layout oci
	rm -rf bundle
}

make_debian-base() {
	need debootstrap
	need_root
	debootstrap --variant=minbase bookworm root || cannot "debian: debootstrap has no archive to load from"
	chroot root apt-get clean
	rm -rf root/var/lib/apt/lists/* root/var/log/*
	pack root layer.tar
	rm -rf root
}

# A root file system, packages installed into it, and removals. As with container
# builders, the layers are the upper directories of an overlay.
make_debian() {
	need umoci setfattr getfattr
	need_root
	local base
	base=$(make debian-base)
	mkdir lower upper1 upper2 work root
	tar --xattrs --xattrs-include='*' --numeric-owner -C lower -xpf "$base/layer.tar"
	trap 'umount -q root/dev root 2>/dev/null || true' EXIT
	in_overlay upper1 lower install_packages
	in_overlay upper2 upper1:lower remove_things
	oci_marks upper1
	oci_marks upper2
	pack upper1 1.tar
	pack upper2 2.tar
	image "$base/layer.tar" 1.tar 2.tar
	rm -rf lower upper1 upper2 work root 1.tar 2.tar
}

# in_overlay UPPER LOWERS COMMAND runs the command in an overlay at root.
in_overlay() {
	mount -t overlay -o "index=off,metacopy=off,redirect_dir=off,lowerdir=$2,upperdir=$1,workdir=work" overlay root ||
		cannot "debian: no overlayfs"
	"$3"
	umount root
}

install_packages() {
	cp /etc/resolv.conf root/etc/resolv.conf
	printf '#!/bin/sh\nexit 101\n' >root/usr/sbin/policy-rc.d
	chmod 755 root/usr/sbin/policy-rc.d
	export DEBIAN_FRONTEND=noninteractive
	chroot root apt-get -q update || cannot "debian: no package archive to load from"
	chroot root apt-get -q install -y --no-install-recommends \
		ca-certificates iputils-ping less openssh-client python3-minimal sudo </dev/null
	chroot root apt-get clean
	rm -rf root/var/lib/apt/lists/* root/etc/resolv.conf
}

remove_things() {
	chroot root dpkg --purge less
	rm -rf root/usr/share/doc root/usr/share/locale root/usr/share/man
	mkdir root/usr/share/doc # opaque
	echo "see the sources" >root/usr/share/doc/README
	rm -f root/etc/motd root/usr/sbin/policy-rc.d root/var/log/*.log
	chmod 700 root/root
}

# oci_marks DIR turns overlayfs' marks into those of a layer.
oci_marks() {
	find "$1" -type c -printf '%t %p\0' | while IFS= read -r -d '' line; do
		local path=${line#* * * * * } # after the time
		[ "$(stat -c %t,%T "$path")" = 0,0 ] || continue
		local parent=${path%/*} when
		when=$(stat -c %y "$parent")
		rm "$path"
		touch "$parent/.wh.${path##*/}"
		touch -d "$when" "$parent"
	done
	find "$1" -type d -print0 | while IFS= read -r -d '' path; do
		[ "$(getfattr --absolute-names --only-values -n trusted.overlay.opaque "$path" 2>/dev/null)" = y ] || continue
		local when
		when=$(stat -c %y "$path")
		touch "$path/.wh..wh..opq"
		touch -d "$when" "$path"
	done
}

# npm_layer PACKAGE@VERSION... makes a layer of npm packages.
npm_layer() {
	need npm
	mkdir -p root/app home
	(
		cd root/app
		echo '{"name":"app","version":"1.0.0","private":true}' >package.json
		HOME=$PWD/../../home npm install --ignore-scripts --legacy-peer-deps --omit=optional \
			--no-audit --no-fund --no-package-lock --loglevel=error "$@"
	) >&2 || cannot "$name: npm has no registry to load from"
	rm -f root/app/node_modules/.package-lock.json
	chown -R 0:0 root 2>/dev/null || true
	find root -exec touch -h -d @1700000000 {} +
	pack root layer.tar
	rm -rf root home
}

make_npm-small() {
	npm_layer date-fns@3.6.0 lodash@4.17.21 rxjs@7.8.1
	image layer.tar
	compress
}

make_npm() {
	npm_layer @mui/icons-material@5.8.4 @tabler/icons@3.51.0 @tabler/icons-react@3.51.0 @phosphor-icons/react@2.1.7 \
		antd@5.9.4 aws-sdk@2.999.0 core-js@3.40.0 date-fns@3.6.0 googleapis@140.0.1 lodash@4.17.21 lodash-es@4.17.21 \
		rxjs@7.8.1 three@0.166.1 typescript@5.5.4
	image layer.tar
	compress
}

# The files of large Debian packages.
make_debs() {
	need dpkg-deb apt-get
	mkdir debs root
	(cd debs && apt-get -q download clang-14 libclang-cpp14 libllvm14 llvm-14 gcc-12 g++-12 cpp-12 \
		openjdk-17-jre-headless libnode108 git perl-modules-5.36 python3.11-minimal libpython3.11-stdlib vim-runtime) >&2 ||
		cannot "debs: no package archive to load from"
	local deb
	for deb in debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -C root -xp --skip-old-files
	done
	pack root layer.tar
	compress
	rm -rf debs root
}

# Layers of all three kinds.
make_stack() {
	need umoci
	local list=() name
	for name in debian-base debs npm-small; do
		list+=("$(make "$name")/layer.tar")
	done
	image "${list[@]}"
}

# split N makes an image of N layers of the same files. The first layer is the smallest, and
# layers get larger by the same amount, so the largest is nearly twice the average.
split() {
	need umoci
	local base npm i list=()
	base=$(make debian-base)
	npm=$(make npm-small)
	mkdir root
	tar --numeric-owner -C root -xpf "$base/layer.tar"
	tar --numeric-owner -C root -xpf "$npm/layer.tar"
	find root ! -type d -printf '%s %P\n' | LC_ALL=C sort -k 2 |
		awk -v n="$1" '{size[NR] = $1; sub(/^[0-9]+ /, ""); path[NR] = $0; all += size[NR]}
			END {
				for (i = 1; i <= NR; i++) {
					if (part <= int(n * sqrt(sum / (all + 1)))) part++ # by one: no part is empty
					sum += size[i]
					out = part ".list"
					for (at = 1; (end = index(substr(path[i], at), "/")) > 0; at += end)
						if (!seen[part, dir = substr(path[i], 1, at + end - 2)]++) print dir > out
					print path[i] > out
				}
			}'
	for ((i = 1; i <= $1; i++)); do
		tar --format=posix --pax-option=delete=atime,delete=ctime --numeric-owner --no-recursion \
			-C root -T "$PWD/$i.list" -cf "$i.tar"
		list+=("$i.tar")
	done
	image "${list[@]}"
	rm -rf root ./*.list ./*.tar
}
make_split1() { split 1; }
make_split3() { split 3; }
make_split20() { split 20; }
make_split40() { split 40; }
make_split100() { split 100; }

bigtar() {
	(cd "$here/../.." && "${GO:-go}" run ./lib/reftest/bigtar "$@") >layer.tar
}
make_large() { bigtar large; }
make_onedir() { bigtar onedir; }
make_files() { bigtar layer 0 100000; }
make_sparse() {
	mkdir root
	truncate -s 5G root/hole
	truncate -s 1G root/ends
	printf begin | dd of=root/ends conv=notrunc status=none
	printf end | dd of=root/ends bs=1 seek=1073741821 conv=notrunc status=none
	local i
	for i in {1..500}; do
		printf 'block %d' "$i" | dd of=root/comb bs=64K seek="$i" conv=notrunc status=none
	done
	find root -exec touch -d @1700000000 {} +
	tar --format=posix --pax-option=delete=atime,delete=ctime --sort=name --owner=0 --group=0 --numeric-owner \
		-S -C root -cf layer.tar .
	rm -rf root
}

# make NAME makes an image or a layer, unless it exists, in a temporary directory beside
# its own, and prints its directory.
make() {
	local name=$1 dir tmp
	[ -n "${version[$name]:-}" ] || {
		echo "images.sh: no recipe for $name" >&2
		exit 2
	}
	dir=$cache/$name-${version[$name]}
	if [ ! -d "$dir" ]; then
		mkdir -p "$cache"
		exec 9>"$cache/lock-$name"
		flock 9
		if [ ! -d "$dir" ]; then
			tmp=$(mktemp -d -p "$cache" "tmp-$name.XXXXXX")
			chmod 755 "$tmp"
			echo "images.sh: making $name" >&2
			# In the background, because "set -e" means nothing on the left of ||.
			(
				cd "$tmp"
				unset TMPDIR # that of a test does not exist in the image
				"make_$name" 9>&-
			) </dev/null >"$cache/$name.log" 2>&1 &
			wait $! || {
				local status=$?
				tail -n 5 "$cache/$name.log" >&2
				rm -rf --one-file-system "$tmp"
				exit $status
			}
			mv "$tmp" "$dir"
		fi
		exec 9>&-
	fi
	echo "$dir"
}

for name in "$@"; do
	make "$name"
done
