# The recipes of README.md do as they stand there.

load helpers
load registries
setup() {
	common_setup
	pids=()
	demo_image DIR TAG
	oci-fetch -o image.tar oci:DIR:TAG
	tar2tree --no-data --digest image.tar >list
}
teardown() {
	stop_registries
	unmount_all
}

# The program in Go is in lib/example_test.go.
@test "every recipe has a test" {
	recipes_are_run "$REPO/README.md" 'func convert('
}

@test "the first pipeline, once the tools are built" {
	registries_setup
	docker_registry
	push DIR:TAG library/alpine:latest
	printf '[[registry]]\nprefix = "docker.io"\nlocation = "%s"\ninsecure = true\n' "$reg" >registries.conf
	recipe "$REPO/README.md" 'oci-fetch alpine' >script
	[ "$(sed -n 1p script | cut -d ' ' -f 1)" = make ] || fail "it builds nothing: $(<script)"
	sed -i 1d script
	CONTAINERS_REGISTRIES_CONF=$PWD/registries.conf run --separate-stderr bash -euo pipefail script
	assert_ok
	[ "$(erofs2tree --no-data --digest rootfs.erofs | grep -v '^#')" = "$(grep -v '^#' list)" ] || fail "another tree"
}

@test "more to do with them, and what is inside" {
	small_layer init.tar
	gzip -c init.tar >layer.tar.gz
	recipe "$REPO/README.md" 'erofs2tree --list=/etc' >script
	run --separate-stderr bash -euo pipefail script
	assert_ok
	[[ $output == d*' /etc/hostname'*$'\nvm1\n'*' all layers'* ]] || show "not what is inside"
	tar2tree --no-data --digest image.tar init.tar | grep -v '^#' >list
	[ "$(erofs2tree --no-data --digest rootfs.erofs | grep -v '^#')" = "$(<list)" ] || fail "another tree"
	[ "$(tar2tree --no-data --digest rootfs.tar | grep -v '^#')" = "$(<list)" ] || fail "another tar"
	erofs2tree --no-data layer.erofs | grep -q '^./etc/hostname ' || fail "no layer image"
	tar2tree image.tar | tree2erofs -o old.erofs
	recipe "$REPO/README.md" 'old.erofs' >script
	run --separate-stderr bash -euo pipefail script
	assert_status 1
	[[ $output == *$'\n> -rw-r--r-- '*' /etc/hostname'* ]] || show "not the difference"
}

@test "the commands of the guides are in them" {
	local guide command
	while read -r guide command; do
		grep -qF "\`$command\`" "$REPO/README.md" || fail "README.md does not name $command"
		recipe "$REPO/tests/shell/guides/$guide/README.md" "$command" >/dev/null
	done <<-'END'
		make make -j4
		bazel bazel build //...
		nix nix-build -A rootfs -o rootfs.erofs
	END
}

# as_one: what the disk of the layered recipe holds, read and as this kernel mounts it.
as_one() {
	wrap-vmdk --check disk.vmdk
	cat fsmeta.erofs 0*.erofs >whole
	[ "$(erofs2tree --no-data --digest whole | grep -v '^#')" = "$(grep -v '^#' list)" ] || fail "another tree"
	need_guest
	mount_image erofs whole mnt
	[ "$(guest mnt)" = "$(grep -v '^#' list)" ] || fail "the kernel sees another tree"
	umount mnt
}

# has_table: the metadata lists devices, which kernels before 6.4 look for elsewhere.
has_table() {
	(($(od -An -tu4 -j$((1024 + 0x50)) -N4 fsmeta.erofs) & 8))
}

@test "an image as shared layers, for a recent kernel and an older one" {
	recipe "$REPO/README.md" 'tree2erofs --fsmeta' >script
	run --separate-stderr bash -euo pipefail script
	assert_status 0
	[ "$(echo 0*.erofs)" = '000.erofs 001.erofs 002.erofs' ] || fail "not three layers"
	has_table || fail "no table of devices"
	as_one
	rm -- *.erofs disk.vmdk
	sed -i -e '/^tree2erofs --fsmeta /d' -e 's/^# tree2erofs/tree2erofs/' script
	run --separate-stderr bash -euo pipefail script
	assert_status 0
	! has_table || fail "a table of devices, for an old kernel"
	as_one
}

@test "all that a virtual machine needs" {
	need qemu-img jq
	export OCIPIPE_CACHE=$PWD/cache
	recipe "$REPO/README.md" 'oci-materialize --target all' >script
	run --separate-stderr bash -euo pipefail script
	assert_ok
	[[ $output == *'"hit": false'*'file format: vmdk'* ]] || show "not both"
	clean upper.ext4
}

@test "an image changed" {
	tar2tree image.tar | tree2erofs -o rootfs.erofs
	printf '%s\n' '- mkdir: {path: /data}' >patches.json
	recipe "$REPO/README.md" 'erofs-patch --lower' >script
	run --separate-stderr bash -euo pipefail script
	assert_ok
	clean upper.ext4
	[ "$(erofs2tree --no-data patched.erofs | grep '^./data ')" = './data type=dir mode=0750 uid=0 gid=0 time=0.000000000' ] || fail "not patched"
}

@test "what an image runs, in its disk" {
	need jq
	recipe "$REPO/README.md" 'oci-fetch --vm-config' >script
	run --separate-stderr bash -euo pipefail script
	assert_ok
	for file in config.json env process; do
		erofs2tree --cat "/etc/oci/$file" root.erofs | cmp - "vm/$file"
	done
	[ "$(jq -c .argv vm/config.json)" = "$(oci-fetch --config oci:DIR:TAG | jq -c '.config | .Entrypoint + .Cmd')" ] || fail "another command: $(cat vm/config.json)"
}

@test "a writable disk over a root, and what is written there as an image" {
	need jq
	need_guest
	tar2tree image.tar | tree2erofs -o rootfs.erofs
	# Layer 1 of this image has a hard link to a file below, which no upper disk can have.
	recipe "$REPO/README.md" 'mkext4upper --grow' | sed -e 's| /mnt$| mnt|' -e 's/--layer 1 /--layer 2 /' >script
	sed '/^mount/,$d' script >before
	run --separate-stderr bash -euo pipefail before
	assert_status 0
	mkdir mnt
	mount_image erofs rootfs.erofs ROOTFS
	mount_image ext4 upper.ext4 UPPER rw
	run --separate-stderr bash -c "$(grep '^mount' script)"
	[ "$status" = 0 ] || skip_or_fail "no overlay can be mounted here: $stderr"
	echo written >mnt/new
	[ -e UPPER/upper/new ] || fail "not written to the upper disk"
	umount mnt UPPER
	sed '1,/^mount/d' script >behind
	run --separate-stderr bash -euo pipefail behind
	assert_ok
	[ "$(stat -c %s upper.ext4)" = $((4 << 30)) ] || fail "it has not grown"
	clean upper.ext4
	clean root.ext4
	recipe "$REPO/README.md" 'oci-commit --base' >script
	run --separate-stderr bash -euo pipefail script
	assert_ok
	tar2tree changed.tar | grep -q '^./new ' || fail "what was written is not in the image"
	[ "$(oci-fetch --config oci-archive:changed.tar | jq -c .config.Cmd)" = '["/srv"]' ] || fail "another command"
}
