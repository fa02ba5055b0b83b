# What boot.sh, vm.sh and lib/reftest/guest are for, with the small image; "make
# boot" does it with a real one too.

load helpers
setup() {
	common_setup
	boot=$REPO/tests/shell/boot.sh vm=$REPO/tests/shell/vm.sh
}

@test "a machine sees the tree that was merged" {
	can_boot
	demo_image image
	run --separate-stderr "$boot" oci:image:demo devices layered table
	[ "$status" != 3 ] || skip_or_fail "$output $stderr" || return
	assert_status 0
	digest=$(tar2tree --no-data --digest image | grep -v '^#' | sha256sum)
	[ "$(grep -c "^    Linux .* 16 names, digest ${digest:0:16} in both, writes kept$" <<<"$output")" = 3 ] || show "not three boots with ${digest:0:16}"
	[ "$(wc -l <<<"$output")" = 7 ] || show "not seven lines"
	assert_no_debris image
}

@test "what a machine changed is an image again" {
	can_boot
	demo_image image
	run --separate-stderr "$boot" oci:image:demo change crash
	assert_status 0
	[ "$(grep -c '^    [0-9]* names, as in the machine, which had 1 socket more$' <<<"$output")" = 2 ] || show "not two trees"
	assert_no_debris image
}

# All else of the flat image is as it should be.
@test "a machine that sees another tree" {
	can_boot
	demo_image image
	tar2tree --no-data --digest image | sed '/^.\/etc\/motd/s/mode=0644/mode=0640/' >list
	tar2tree image | tree2erofs -o flat
	wrap-vmdk -o flat.vmdk flat
	run --separate-stderr "$vm" "$kernel" list flat.vmdk
	assert_status 1
	[ -z "$output" ] || show "it says something"
	[[ $stderr == 'vm.sh: the machine sees another tree:'*'< ./etc/motd type=file mode=0640 '*'> ./etc/motd type=file mode=0644 '* ]] || show "not the difference"
	[ "$(wc -l <<<"$stderr")" = 5 ] || show "more than one difference"
	assert_no_debris image list flat flat.vmdk
}

@test "a machine that finds no image" {
	can_boot
	truncate -s 1M disk
	echo . >list
	run --separate-stderr "$vm" "$kernel" list disk
	assert_status 1
	[ -z "$output" ] || show "it says something"
	[[ $stderr == 'vm.sh: the machine did not list the tree;'*'guest: failed: mount /dev/vda as erofs'* ]] || show "not the console"
	assert_no_debris disk list
}

@test "a machine that is not done in time" {
	can_boot
	truncate -s 1M disk
	echo . >list
	BOOT_TIMEOUT=0.2 run --separate-stderr "$vm" "$kernel" list disk
	assert_status 1
	[[ $stderr == 'vm.sh: the machine was not done after 0.2 seconds;'* ]] || show "no word of the time"
	assert_no_debris disk list
}

@test "boots are called wrongly" {
	run --separate-stderr "$boot" oci:image:demo flat floppy
	assert_status 2
	[ "$stderr" = 'boot: no form floppy' ] || show "another message"
	need qemu-system-x86_64 cpio
	run --separate-stderr "$vm" kernel list
	assert_status 2
	[ "$stderr" = 'usage: vm.sh [--change|--crash] KERNEL LIST|OUT DISK [LAYER...]' ] || show "another message"
}

@test "the guest lists as tar2tree does" {
	need setfattr
	mkdir -p "tree/a b/c" tree/empty
	echo one >'tree/a b/#[x]=?*'
	ln 'tree/a b/#[x]=?*' tree/zz
	: >$'tree/a b/\303\244\n\\'
	ln -s 'x=\ y' tree/link
	ln tree/link tree/link2
	mkfifo -m 600 tree/fifo
	chmod 4750 tree/zz
	setfattr -n user.b -v 2 tree/zz || skip_or_fail "no xattrs here"
	setfattr -n user.a -v '' tree/zz
	touch -h -d '1969-12-31 23:59:58.5' tree/link
	touch -d '2024-01-01 00:00:00.000000001' tree/empty
	tar --format=posix --xattrs --numeric-owner -C tree -cf tree.tar .
	(cd "$REPO" && CGO_ENABLED=0 "${GO:-go}" build -o "$BATS_TEST_TMPDIR/guest" ./lib/reftest/guest)
	run --separate-stderr "$BATS_TEST_TMPDIR/guest" tree
	assert_ok
	assert_output "$(tar2tree --sort --no-data --digest tree.tar | grep -v '^#')"
	[ "$(wc -l <<<"$output")" = 10 ] || show "not all names"
	run --separate-stderr "$BATS_TEST_TMPDIR/guest" missing
	assert_status 1
}
