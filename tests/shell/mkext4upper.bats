# mkext4upper: disks empty, seeded and grown, every flag, failures.

load helpers
setup() { common_setup; }
teardown() {
	unmount_all
}

# stream RECORD...: a stream of these lines, without contents and checksum.
stream() {
	printf '#mtree ocipipe-tree 1 data=inline\n'
	[ $# = 0 ] || printf '%s\n' "$@"
	printf '#end records=%d bytes=0\n' $#
}
root='. type=dir mode=1710 uid=7 gid=70000 time=-2.500000000 xattr.user.a=MQ=='
whiteout='./gone type=char mode=0000 uid=0 gid=0 time=0.000000000 device=native,0,0'
opaque='./dir type=dir mode=0750 uid=0 gid=0 time=5.000000000 xattr.trusted.overlay.opaque=eQ=='

# seeded makes in.tree, a stream of 100 KB.
seeded() {
	small_layer layer.tar
	tar2tree -o in.tree layer.tar
}

# inode IMAGE PATH: mode, owner and group.
inode() { debugfs -R "stat $2" "$1" 2>/dev/null | sed -n 's/.*Mode: *\([0-7]*\) .*/\1/p; s/^User: *\([0-9]*\) *Group: *\([0-9]*\).*/\1 \2/p' | xargs; }

# overlaid LOWER UPPER: what an overlay of these shows, as a listing.
overlaid() {
	mount_image erofs "$1" lower.mnt
	mount_image ext4 "$2" upper.mnt rw
	mkdir merged.mnt
	mount -t overlay -o lowerdir=lower.mnt,upperdir=upper.mnt/upper,workdir=upper.mnt/work overlay merged.mnt
	guest merged.mnt
	umount merged.mnt upper.mnt lower.mnt
	rmdir merged.mnt upper.mnt lower.mnt
}

@test "an empty disk to -o, > and a pipe: the same" {
	run --separate-stderr mkext4upper --size 64M -o a
	assert_ok
	assert_output ''
	for line in 'mkext4upper --size 64M >b; cmp a b' 'mkext4upper --size 64M | cmp - a' 'mkext4upper --size 64M --check -o c; cmp a c' \
		'mkext4upper --size=67108864 --tmpdir "$TMPDIR" | cat | cmp - a' 'TZ=Asia/Tokyo mkext4upper --size 64M | cmp - a'; do
		run --separate-stderr bash -c "set -e; umask 077; $line"
		assert_ok
		assert_output ''
	done
	clean a
	[ "$(inode a /upper)" = '0755 0 0' ] || fail "/upper: $(inode a /upper)"
	[ "$(inode a /work)" = '0755 0 0' ] || fail "/work: $(inode a /work)"
	[ "$(inode a /lost+found)" = '0700 0 0' ] || fail "/lost+found: $(inode a /lost+found)"
	assert_no_debris a b c
}

@test "sizes are exact, and little of a disk is written" {
	for c in 64M:262144 100M:262144 4G:1000000 64G:2000000 1T:16000000; do
		run --separate-stderr mkext4upper --size "${c%:*}" -o out
		assert_ok
		[ "$(stat -c %s out)" = "$(numfmt --from=iec "${c%:*}")" ] || fail "${c%:*}: $(stat -c %s out) bytes"
		(($(stat -c '%b * %B' out) <= ${c#*:})) || fail "${c%:*}: $(($(stat -c '%b * %B' out))) bytes allocated"
		clean out
	done
}

@test "a stream goes to /upper" {
	need_guest
	seeded
	for line in 'mkext4upper --size 100M --tree in.tree -o out' 'mkext4upper --size 100M --tree - -o out <in.tree' 'cat in.tree | mkext4upper --check --size 100M --tree - >out2 && mv out2 out'; do
		run --separate-stderr bash -c "$line"
		assert_ok
		clean out
		mount_image ext4 out mounted
		[ "$(guest mounted/upper)" = "$(tar2tree --sort --no-data --digest layer.tar | grep -v '^#')" ] || fail "another tree"
		[ "$(ls mounted)" = "$(printf '%s\n' lost+found upper work)" ] || fail "$(ls mounted)"
		umount mounted
	done
	rmdir mounted
	assert_no_debris layer.tar in.tree out
}

# What overlayfs shows of the lower layers and the seeded disk is what tar2tree
# merges.
@test "a seeded disk over an image acts as a layer" {
	need_guest
	need setfattr
	mkdir -p base/etc base/dir/sub base/opaque top/etc top/opaque
	for file in etc/kept etc/patched etc/gone dir/a dir/sub/b opaque/hidden; do echo "base $file" >base/$file; done
	for file in etc/patched etc/new opaque/shown; do echo "top $file" >top/$file; done
	: >top/etc/.wh.gone
	: >top/.wh.dir
	: >top/opaque/.wh..wh..opq
	chmod 0711 top/etc
	chmod 1777 top
	setfattr -n user.root -v top top
	for layer in base top; do
		tar --format=posix --xattrs --mtime=@1600000000.123 --sort=name --numeric-owner -C $layer -cf $layer.tar .
	done
	tar2tree base.tar | tree2erofs -o lower
	run --separate-stderr bash -c 'tar2tree --input layer <top.tar | mkext4upper --check --tree - --size 64M -o upper'
	assert_ok
	clean upper
	run --separate-stderr overlaid lower upper
	assert_ok
	[ "$output" = "$(tar2tree --no-data --digest base.tar top.tar | grep -v '^#')" ] || show "another tree than: $(tar2tree --no-data --digest base.tar top.tar)"
	clean upper
	run --separate-stderr overlaid lower upper # a second time
	[ "$output" = "$(tar2tree --no-data --digest base.tar top.tar | grep -v '^#')" ] || show "another tree after a second mount"
}

@test "whiteouts and opaque directories are kept" {
	need_guest
	stream "$root" "$whiteout" "$opaque" >marks
	run --separate-stderr mkext4upper --check --tree marks --size 64M -o out
	assert_ok
	clean out
	mount_image ext4 out mounted
	run --separate-stderr guest mounted/upper
	want=$(printf '%s\n' "$root" "$opaque" "$whiteout" | sed 's/mode=0*/mode=0/')
	[ "$output" = "$want" ] || show "not what was in the stream: $want"
}

@test "--root-mode, --root-from" {
	need setfattr
	need_root
	mkdir tree
	chown 7:70000 tree
	chmod 2751 tree
	setfattr -n user.from -v lower tree
	tar --format=posix --xattrs --mtime=@1600000000 --numeric-owner -C tree -cf tree.tar .
	tar2tree tree.tar | tree2erofs -o lower.erofs
	tar2tree tree.tar | tree2ext4 --shrink -o lower.ext4
	for image in lower.erofs lower.ext4; do
		run --separate-stderr mkext4upper --size 64M --root-from "$image" -o out
		assert_ok
		clean out
		[ "$(inode out /upper)" = '02751 7 70000' ] || fail "/upper: $(inode out /upper)"
		debugfs -R 'ea_get /upper user.from' out 2>/dev/null | grep -q lower || fail "no xattr"
		debugfs -R 'stat /upper' out 2>/dev/null | grep -q 'mtime: 0x5f5e1000:00000000' || fail "$(debugfs -R 'stat /upper' out 2>/dev/null)"
		[ "$(inode out /work)" = '0755 0 0' ] || fail "/work: $(inode out /work)"
	done
	run --separate-stderr mkext4upper --size 64M --root-mode 1777 --root-from lower.ext4 -o out
	assert_ok
	[ "$(inode out /upper)" = '01777 7 70000' ] || fail "/upper: $(inode out /upper)"
	stream "$root" >in.tree # what a stream states comes before --root-from, --root-mode before all
	run --separate-stderr mkext4upper --size 64M --root-from lower.ext4 --tree in.tree -o out
	assert_ok
	[ "$(inode out /upper)" = '01710 7 70000' ] || fail "/upper: $(inode out /upper)"
	run --separate-stderr mkext4upper --size 64M --root-mode 0700 --tree in.tree -o out
	assert_ok
	[ "$(inode out /upper)" = '0700 7 70000' ] || fail "/upper: $(inode out /upper)"
	head -c 5000 /dev/zero >zeros
	for c in 'none|none: open: no such file' 'zeros|zeros: neither an EROFS image nor an ext4 file system' 'tree.tar|tree.tar: is a tar archive, not an EROFS or ext4 image' '/dev/null|/dev/null: the input is empty'; do
		run --separate-stderr mkext4upper --size 64M --root-from "${c%|*}" -o new
		assert_error mkext4upper 1 "${c#*|}"
	done
	head -c 1500 lower.erofs >short.img
	run --separate-stderr mkext4upper --size 64M --root-from short.img -o new
	assert_error mkext4upper 1 'short.img: '
	[ ! -e new ] || fail "something was written"
}

@test "--root-from of a disk in use" {
	mkext4upper --size 64M -o lower
	mount_image ext4 lower below rw
	cp lower crashed
	for image in lower "$(findmnt -no SOURCE below)"; do
		run --separate-stderr mkext4upper --size 64M --root-from "$image" -o out
		assert_error mkext4upper 1 "$image: is in use: "
		[[ $stderr == "mkext4upper: $image: is in use: "*$'\nmkext4upper: hint: unmount it and stop what uses it, or take a copy' ]] || show "not one line and a hint"
		[ "$(wc -l <<<"$stderr")" = 2 ] || show "not two lines"
	done
	unmount_all
	rmdir below
	for image in lower crashed; do
		run --separate-stderr mkext4upper --size 64M --root-from "$image" -o out
		assert_ok
	done
	assert_no_debris lower crashed out
}

@test "--journal, --inodes, --bytes-per-inode, --reserve-growth, --features, --label, --uuid" {
	uuid=01234567-89ab-cdef-0123-456789abcdef
	run --separate-stderr mkext4upper --size 1G --journal 8M --inodes 100000 --reserve-growth 100G --label upper --uuid $uuid --features ^metadata_csum,^huge_file -o out
	assert_ok
	clean out
	[ "$(super out 'Total journal blocks')" = 2048 ] || fail "journal: $(super out 'Total journal blocks')"
	(($(super out 'Inode count') >= 100000)) || fail "inodes: $(super out 'Inode count')"
	[ "$(super out 'Reserved GDT blocks')" = 12 ] || fail "reserved: $(super out 'Reserved GDT blocks')" # 13 blocks describe 104 GiB
	[ "$(super out 'Filesystem UUID') $(super out 'Filesystem volume name')" = "$uuid upper" ] || fail "UUID: $(super out 'Filesystem UUID')"
	[[ $(super out 'Filesystem features') != *metadata_csum* ]] || fail "features: $(super out 'Filesystem features')"
	run --separate-stderr mkext4upper --size 1G --journal none --bytes-per-inode 64K -o out
	assert_ok
	clean out
	[ "$(super out 'Inode count')" = 16384 ] || fail "inodes: $(super out 'Inode count')"
	[[ $(super out 'Filesystem features') != *has_journal* ]] || fail "a journal"
	for name in 64bit metadata_csum flex_bg resize_inode dir_index huge_file dir_nlink; do
		run --separate-stderr mkext4upper --size 300M --features "^$name" -o out
		assert_ok
		clean out
		[[ " $(super out 'Filesystem features') " != *" $name "* ]] || fail "^$name: $(super out 'Filesystem features')"
	done
}

@test "--mtime, --clamp-mtime, SOURCE_DATE_EPOCH" {
	mtime() { debugfs -R "stat $2" "$1" 2>/dev/null | sed -n 's/^ *mtime: \([^ ]*\) .*/\1/p'; }
	stream "$root" "$opaque" >in.tree
	run --separate-stderr mkext4upper --size 64M --tree in.tree --mtime 258 -o out
	assert_ok
	[ "$(mtime out /upper) $(mtime out /upper/dir)" = '0x00000102:00000000 0x00000102:00000000' ] || fail "$(mtime out /upper) $(mtime out /upper/dir)"
	run --separate-stderr mkext4upper --size 64M --tree in.tree --clamp-mtime 3 -o out
	assert_ok
	[ "$(mtime out /upper) $(mtime out /upper/dir)" = '0xfffffffe:77359400 0x00000003:00000000' ] || fail "$(mtime out /upper) $(mtime out /upper/dir)"
	SOURCE_DATE_EPOCH=1700000000 run --separate-stderr mkext4upper --size 64M -o out
	assert_ok
	clean out
	[ "$(super out 'Filesystem created')" = 'Tue Nov 14 22:13:20 2023' ] || fail "created: $(super out 'Filesystem created')"
}

@test "--grow: a larger disk with what was on it" {
	need_guest
	seeded
	mkext4upper --size 100M --tree in.tree -o disk
	for size in 128M 140M 1G 300G; do
		run --separate-stderr mkext4upper --grow disk --size "$size"
		assert_ok
		assert_output ''
		[ "$(stat -c %s disk)" = "$(numfmt --from=iec "$size")" ] || fail "$size: $(stat -c %s disk) bytes"
		[ "$(super disk 'Block count')" = $(($(stat -c %s disk) / 4096)) ] || fail "$size: $(super disk 'Block count') blocks"
		clean disk
	done
	run --separate-stderr mkext4upper --grow disk --size 300G
	assert_error mkext4upper 1 'has 322122547200 bytes already; the next larger size is'
	clean disk
	mount_image ext4 disk mounted
	[ "$(guest mounted/upper)" = "$(tar2tree --sort --no-data --digest layer.tar | grep -v '^#')" ] || fail "another tree"
	umount mounted
	rmdir mounted
	assert_no_debris layer.tar in.tree disk
}

@test "--grow: a disk of mke2fs that was in use, and one that was not unmounted" {
	need mke2fs
	need_root
	truncate -s 200M disk
	mke2fs -q -t ext4 -b 4096 disk
	mount_image ext4 disk mounted rw
	cp -r "$REPO/lib/tree" mounted/
	sync -f mounted
	cp --sparse=always disk crashed
	umount mounted
	[[ $(super crashed 'Filesystem features') == *needs_recovery* ]] || fail "there is nothing to replay"
	for image in disk crashed; do
		run --separate-stderr mkext4upper --grow "$image" --size 2G
		assert_ok
		clean "$image"
		mount_image ext4 "$image" mounted
		diff -r "$REPO/lib/tree" mounted/tree
		umount mounted
	done
}

@test "--grow refuses what it cannot, and leaves it as it was" {
	mkext4upper --size 100M -o disk
	cp --sparse=always disk before
	head -c 50000000 disk >short
	head -c 100000000 /dev/zero >zeros
	mkfifo fifo
	for c in 'disk 64M|has 104857600 bytes, more than 67108864' 'disk 20T|less than 16 TiB' 'none 1G|no such file or directory' 'short 1G|short: ' 'zeros 1G|zeros: ' \
		'/dev/null 1G|neither a regular file nor a block device' '. 1G|.: ' 'fifo 1G|neither a regular file'; do
		# shellcheck disable=SC2086 # several words
		set -- ${c%|*}
		run --separate-stderr timeout 60 mkext4upper --grow "$1" --size "$2"
		assert_error mkext4upper 1 "${c#*|}"
	done
	cmp disk before
	[ "$(stat -c %s short)" = 50000000 ] || fail "the short one has $(stat -c %s short) bytes"
	run --separate-stderr mkext4upper --grow disk
	assert_error mkext4upper 2 'flag is missing: --size=SIZE'
	run --separate-stderr mkext4upper --grow disk --size 1G -o out
	assert_error mkext4upper 2 '--grow goes with --size alone'
	for c in 1080:00 1120:ff 1124:ff; do # magic number, incompatible and read-only features
		cp --sparse=always before broken
		printf '%b' "\\x${c#*:}" | dd of=broken bs=1 seek="${c%:*}" conv=notrunc status=none
		cp --sparse=always broken as-it-was
		run --separate-stderr mkext4upper --grow broken --size 1G
		assert_error mkext4upper 1 'broken: '
		cmp broken as-it-was
	done
	assert_no_debris disk before short zeros fifo broken as-it-was
}

@test "--grow: a file system that is mounted" {
	mkext4upper --size 100M -o disk
	mount_image ext4 disk mounted rw
	for target in disk "$(findmnt -no SOURCE "$PWD/mounted")"; do
		run --separate-stderr mkext4upper --grow "$target" --size 200M
		assert_error mkext4upper 1 'is in use'
	done
	umount mounted
	clean disk
	run --separate-stderr mkext4upper --grow disk --size 200M
	assert_ok
	clean disk
}

@test "--grow: a block device" {
	mkext4upper --size 100M -o disk
	truncate -s 300M disk
	need_root
	device=$(losetup -f --show disk) || skip_or_fail "no loop device"
	run --separate-stderr mkext4upper --grow "$device" --size 300M
	losetup -d "$device"
	assert_ok
	[ "$(super disk 'Block count')" = 76800 ] || fail "$(super disk 'Block count') blocks"
	clean disk
}

@test "--grow: no room for the larger disk" {
	full_disk 800k
	mkext4upper --size 100M -o full/disk
	run --separate-stderr mkext4upper --grow full/disk --size 900G
	assert_error mkext4upper 1 'no space left on device'
	[ "$(super full/disk 'Block count')" = 25600 ] || fail "$(super full/disk 'Block count') blocks"
	e2fsck -fp full/disk >e2fsck.log 2>&1 || fail "$(<e2fsck.log)"
}

@test "usage errors" {
	stream "$root" >in.tree
	for c in '|flag is missing: --size=SIZE' '--size=1M|too small' '--size=65T|too large' '--size=x|is not a size' '--size=64M --journal=1M|journal of 1048576 bytes' \
		'--size=64M --root-mode=9|is not a mode such as 0755' '--size=64M --root-mode=17777|is not a mode' '--size=64M --features=foo|unknown feature' \
		'--size=20T --features=^64bit|too large' '--size=64M --bytes-per-inode=1|bytes for an inode' '--size=64M --reserve-growth=20T|resize_inode ends below' \
		'--size=1T --reserve-growth=1G|it cannot grow to' '--size=64M --label=seventeen-bytes-x|at most 16 bytes' '--size=64M --uuid=1|is not a UUID' 'in.tree|unexpected argument'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr mkext4upper ${c%|*} -o out
		assert_error mkext4upper 2 "${c#*|}"
	done
	run --separate-stderr mkext4upper --size 64M --tree in.tree -o in.tree
	assert_error mkext4upper 2 'is input and output at once'
	assert_no_debris in.tree
}

@test "what does not fit" {
	seeded
	head -c 70000000 /dev/urandom >big
	tar -cf - big | tar2tree -o big.tree
	echo before >out
	run --separate-stderr mkext4upper --size 64M --tree big.tree -o out
	assert_error mkext4upper 1 'does not fit into 67108864 bytes'
	least=$(sed -n 's/^mkext4upper: hint: --size \([0-9]*\)M is enough\(, with [0-9]*M free\)\?$/\1/p' <<<"$stderr")
	run --separate-stderr mkext4upper --size "${least}M" --tree big.tree -o more
	assert_ok
	clean more
	rm more
	run --separate-stderr mkext4upper --size 64M --inodes 12 --tree in.tree -o out
	assert_error mkext4upper 1 '34 inodes are needed, there would be 16'
	stream "$root" './f type=fifo mode=0644 uid=0 gid=0 time=1.000000000' './l type=file mode=0644 uid=0 gid=0 time=0.000000000 size=0 hardlink=./below lower' >lower.tree
	run --separate-stderr mkext4upper --size 64M --tree lower.tree -o out
	assert_error mkext4upper 1 'l: hard link to below in a layer below'
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree big big.tree lower.tree out
}

@test "directories that are only implied are as below, or a warning" {
	stream "$root" './a/b type=fifo mode=0644 uid=0 gid=0 time=1.000000000' >in.tree
	run --separate-stderr mkext4upper --size 64M --tree in.tree -o out
	assert_status 0
	[[ $stderr == 'mkext4upper: warning: a: a directory that is only implied; 0755 of root hide what it is below'* ]] || show "another warning"
	run --separate-stderr mkext4upper --quiet --size 64M --tree in.tree -o out
	assert_ok
	[ "$(inode out /upper/a)" = '0755 0 0' ] || fail "/upper/a: $(inode out /upper/a)"
	stream "$root" './a type=dir mode=2711 uid=3 gid=4 time=9.000000000' | tree2erofs -o lower.erofs
	run --separate-stderr mkext4upper --size 64M --tree in.tree --root-from lower.erofs -o out
	assert_ok
	clean out
	[ "$(inode out /upper) $(inode out /upper/a)" = '01710 7 70000 02711 3 4' ] || fail "$(inode out /upper) $(inode out /upper/a)"
}

@test "missing, truncated and corrupt input" {
	seeded
	size=$(stat -c %s in.tree)
	echo before >out
	run --separate-stderr mkext4upper --size 64M --tree none -o out
	assert_error mkext4upper 1 'none: open: no such file or directory'
	run --separate-stderr mkext4upper --size 64M --tree /dev/null -o out
	assert_error mkext4upper 1 'input is empty'
	run --separate-stderr mkext4upper --size 64M --tree layer.tar -o out
	assert_error mkext4upper 1 'is a tar archive, not a tree stream'
	for n in 33 600 50000 $((size - 1)); do
		for line in 'mkext4upper --size 64M --tree - -o out' 'mkext4upper --size 64M --tree - >fresh' 'mkext4upper --size 64M --tree -'; do
			run --separate-stderr bash -c "head -c $n in.tree | $line"
			assert_error mkext4upper 1 'cut short'
		done
		assert_empty fresh
	done
	sed 's/^vm1$/vm2/' in.tree >content
	run --separate-stderr mkext4upper --size 64M --tree content -o out
	assert_error mkext4upper 1 'CRC-32 is'
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree content out fresh
}

@test "limits name their flags" {
	seeded
	for c in --max-entries=2 --max-file-size=99999 --max-total-size=100003 --max-tree-memory=1000; do
		run --separate-stderr mkext4upper --size 64M --tree in.tree -o out "$c"
		assert_error mkext4upper 1 'over the limit of'
		[[ $stderr == *"mkext4upper: hint: ${c%%=*} raises the limit" ]] || show "no hint"
	done
	assert_no_debris layer.tar in.tree
}

@test "/dev/full, a full disk" {
	seeded
	for line in 'mkext4upper --size 64M >/dev/full' 'mkext4upper --size 64M -o /dev/full'; do
		run --separate-stderr bash -c "$line"
		assert_error mkext4upper 1 'no space left on device'
	done
	full_disk 100k
	echo before >full/out
	run --separate-stderr mkext4upper --size 4G -o full/out
	assert_error mkext4upper 1 'no space left on device'
	run --separate-stderr mkext4upper --size 64M --tree in.tree -o full/out
	assert_error mkext4upper 1 'no space left on device'
	[ "$(<full/out)" = before ] || fail "the target was changed"
	rm full/out
	run --separate-stderr bash -c 'mkext4upper --size 4G >full/out'
	assert_error mkext4upper 1 'no space left on device'
	assert_empty full/out
	umount full
	rmdir full
	assert_no_debris layer.tar in.tree
}

@test "closed pipe, interrupt" {
	seeded
	run --separate-stderr bash -c 'mkext4upper --size 64M | head -c 100 >/dev/null; exit "${PIPESTATUS[0]}"'
	assert_status 141
	[ -z "$stderr" ] || show "standard error is not empty"
	mkfifo "$BATS_TEST_TMPDIR/never"
	exec 7<>"$BATS_TEST_TMPDIR/never"
	for signal in INT TERM HUP; do
		echo before >kept
		head -c 50000 in.tree >&7
		interrupted "$signal" mkext4upper --size 64M --tree - -o kept
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ "$(<kept)" = before ] || fail "the target was changed"
		[ -z "$stderr" ] || show "standard error is not empty"
		head -c 50000 in.tree >&7
		interrupted "$signal" mkext4upper --size 64M --tree -
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		assert_empty out
	done
	exec 7>&-
	assert_no_debris layer.tar in.tree kept out
}

@test "terminal" {
	on_terminal 'mkext4upper --size 64M'
	assert_status 2
	[[ $output == *'mkext4upper: standard output: is a terminal, and the data is binary'* ]] || show "another message"
	assert_no_debris
}
