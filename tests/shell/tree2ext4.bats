# tree2ext4: what a stream becomes, every flag, failures.

load helpers
setup() {
	common_setup
	small_layer layer.tar
	tar2tree -o in.tree layer.tar
}
teardown() {
	unmount_all
}

# stream RECORD...: a stream of these lines, without contents and checksum.
stream() {
	printf '#mtree ocipipe-tree 1 data=inline\n'
	[ $# = 0 ] || printf '%s\n' "$@"
	printf '#end records=%d bytes=0\n' $#
}
root='. type=dir mode=0755 uid=0 gid=0 time=1.000000000'
whiteout='./gone type=char mode=0000 uid=0 gid=0 time=0.000000000 device=native,0,0'
opaque='./dir type=dir mode=0755 uid=0 gid=0 time=0.000000000 xattr.trusted.overlay.opaque=eQ=='
lower='./link type=file mode=0644 uid=0 gid=0 time=0.000000000 size=0 hardlink=./below lower'

# random_stream FILE BYTES: the stream of one file.
random_stream() {
	mkdir -p "$BATS_TEST_TMPDIR/random"
	head -c "$2" /dev/urandom >"$BATS_TEST_TMPDIR/random/file"
	tar -C "$BATS_TEST_TMPDIR/random" -cf - . | tar2tree -o "$1"
}

# seen IMAGE: what the kernel sees there, as a listing.
seen() {
	mount_image ext4 "$1" mounted
	guest mounted | grep -v '^\./lost+found '
	umount mounted
	rmdir mounted
}

@test "an image to -o, > and a pipe: the same" {
	flags='--shrink --journal none'
	# shellcheck disable=SC2086 # several flags
	run --separate-stderr tree2ext4 $flags -o a in.tree
	assert_ok
	assert_output ''
	for line in "tree2ext4 $flags <in.tree >b; cmp a b" "cat in.tree | tree2ext4 $flags | cmp - a" "tree2ext4 - $flags -o - <in.tree | cat | cmp - a" \
		"tree2ext4 $flags --check in.tree >c; cmp a c" "tree2ext4 $flags --require-crc --tmpdir \"\$TMPDIR\" in.tree | cmp - a" \
		"TZ=Asia/Tokyo GOMAXPROCS=1 tree2ext4 $flags in.tree | cmp - a"; do
		run --separate-stderr bash -c "set -e; umask 077; $line"
		assert_ok
		assert_output ''
	done
	clean a
	assert_no_debris layer.tar in.tree a b c
}

@test "the kernel sees the tree" {
	need_guest
	run --separate-stderr tree2ext4 --check -o out in.tree
	assert_ok
	clean out
	run --separate-stderr seen out
	assert_ok
	[ "$output" = "$(tar2tree --sort --no-data --digest layer.tar | grep -v '^#')" ] || show "another tree"
	[[ $output == *'./etc/hostname type=file mode=0644 uid=0 gid=0 time=1700000000.000000000 size=4'* ]] || show "no hostname"
	assert_no_debris layer.tar in.tree out
}

@test "a root file system from an image" {
	need_guest
	demo_image image
	run --separate-stderr bash -c 'oci-fetch oci:image:demo | tar2tree | tree2ext4 --free-space 64M -o rootfs.ext4'
	assert_ok
	clean rootfs.ext4
	[ "$(seen rootfs.ext4)" = "$(oci-fetch oci:image:demo | tar2tree --no-data --digest | grep -v '^#')" ] || fail "the kernel sees another tree"
	assert_no_debris layer.tar in.tree image rootfs.ext4
}

@test "an empty tree" {
	stream >empty
	run --separate-stderr tree2ext4 --check --shrink --journal none -o out empty
	assert_ok
	clean out
	[ "$(debugfs -R 'ls -p /' out 2>/dev/null | cut -d/ -f3,4,5,6,7 | xargs)" = '040755/0/0/./ 040755/0/0/../ 040700/0/0/lost+found/' ] ||
		fail "not a root alone: $(debugfs -R 'ls -p /' out 2>/dev/null)"
	assert_no_debris layer.tar in.tree empty out
}

@test "--size is exact, or an error that says what would do" {
	for size in 4M 100M 128M 5000M 1T; do
		run --separate-stderr tree2ext4 --size "$size" -o out in.tree
		assert_ok
		[ "$(stat -c %s out)" = "$(numfmt --from=iec "$size")" ] || fail "$size: $(stat -c %s out) bytes"
		clean out
	done
	random_stream large.tree 20000000
	run --separate-stderr tree2ext4 --size 16M -o out large.tree
	assert_error tree2ext4 1 'does not fit into 16777216 bytes'
	least=$(sed -n 's/^tree2ext4: hint: --size \([0-9]*\)M is enough\(, with [0-9]*M free\)\?$/\1/p' <<<"$stderr")
	run --separate-stderr tree2ext4 --size "$((least - 1))M" -o less large.tree
	assert_error tree2ext4 1 "does not fit into"
	[[ $stderr == *"--size ${least}M is enough"* ]] || show "another size"
	run --separate-stderr tree2ext4 --size "${least}M" -o more large.tree
	assert_ok
	clean more
	assert_no_debris layer.tar in.tree large.tree out more
}

@test "--free-space, --free-inodes, --shrink" {
	random_stream large.tree 3000000
	for space in none 1M 100M 3G; do
		run --separate-stderr tree2ext4 --free-space "$space" --free-inodes 5000 -o out large.tree
		assert_ok
		clean out
		free=$(super out 'Free blocks') want=$(numfmt --from=iec "${space/none/0}")
		((free * 4096 >= want && free * 4096 < want + want / 10 + (2 << 20))) || fail "--free-space $space: $free blocks"
		(($(super out 'Free inodes') >= 5000)) || fail "free inodes: $(super out 'Free inodes')"
	done
	tree2ext4 --free-space none -o least large.tree
	run --separate-stderr tree2ext4 --shrink -o out large.tree
	assert_ok
	clean out
	(($(stat -c %s out) <= $(stat -c %s least))) || fail "--shrink: $(stat -c %s out) bytes, --free-space none: $(stat -c %s least)"
	(($(stat -c %s out) < 3000000 * 3 / 2)) || fail "--shrink: $(stat -c %s out) bytes for 3 MB"
	run --separate-stderr tree2ext4 -o out large.tree
	assert_ok
	(($(super out 'Free blocks') * 4096 >= 512 << 20)) || fail "without a flag: $(super out 'Free blocks') blocks"
	run --separate-stderr tree2ext4 --size 200M --inodes 60000 -o out large.tree
	assert_ok
	(($(super out 'Inode count') >= 60000)) || fail "inodes: $(super out 'Inode count')"
	clean out
	run --separate-stderr tree2ext4 --size 200M --bytes-per-inode 4K -o out large.tree
	assert_ok
	(($(super out 'Inode count') >= 51200)) || fail "inodes: $(super out 'Inode count')"
	clean out
	assert_no_debris layer.tar in.tree large.tree least out
}

@test "--max-size: resize2fs needs to move nothing up to there" {
	need resize2fs
	run --separate-stderr tree2ext4 --size 100M --max-size 4T -o out in.tree
	assert_ok
	[ "$(super out 'Reserved GDT blocks')" = 511 ] || fail "reserved: $(super out 'Reserved GDT blocks')"
	truncate -s 2T out
	resize2fs out >resize.log 2>&1 || fail "$(<resize.log)"
	clean out
}

@test "--journal" {
	for c in 4M:1024 64M:16384; do
		run --separate-stderr tree2ext4 --journal "${c%:*}" -o out in.tree
		assert_ok
		clean out
		[ "$(super out 'Total journal blocks')" = "${c#*:}" ] || fail "$c: $(super out 'Total journal blocks') blocks"
	done
	run --separate-stderr tree2ext4 --journal none -o out in.tree
	assert_ok
	clean out
	[[ $(super out 'Filesystem features') != *has_journal* ]] || fail "there is a journal"
}

@test "--features leaves out what it names" {
	features() { super out 'Filesystem features' | xargs -n1 | sort | xargs; }
	tree2ext4 -o out in.tree
	all=$(features)
	[ "$all" = '64bit dir_index dir_nlink ext_attr extent extra_isize filetype flex_bg has_journal huge_file large_file metadata_csum resize_inode sparse_super' ] ||
		fail "features: $all"
	for name in 64bit metadata_csum resize_inode dir_index huge_file dir_nlink; do
		run --separate-stderr tree2ext4 --features "^$name" --check -o out in.tree
		assert_ok
		clean out
		[ "$(features)" = "$(xargs -n1 <<<"$all" | grep -vx "$name" | xargs)" ] || fail "^$name: $(features)"
		[[ $(tree2ext4 --help | xargs) == *"^$name"* ]] || fail "--help does not name $name"
	done
	run --separate-stderr tree2ext4 --features ^64bit,metadata_csum_seed -o out in.tree
	assert_ok
	clean out
	[[ $(super out 'Filesystem features') == *metadata_csum_seed* ]] || fail "no metadata_csum_seed"
}

@test "--label, --uuid, SOURCE_DATE_EPOCH" {
	uuid=01234567-89ab-cdef-0123-456789abcdef
	SOURCE_DATE_EPOCH=1700000000 run --separate-stderr tree2ext4 --label 'sixteen  bytes!!' --uuid $uuid -o out in.tree
	assert_ok
	clean out
	[ "$(super out 'Filesystem UUID')" = $uuid ] || fail "UUID: $(super out 'Filesystem UUID')"
	[ "$(super out 'Filesystem volume name')" = 'sixteen  bytes!!' ] || fail "label: $(super out 'Filesystem volume name')"
	[ "$(super out 'Filesystem created')" = 'Tue Nov 14 22:13:20 2023' ] || fail "created: $(super out 'Filesystem created')"
	tree2ext4 --uuid $uuid -o out in.tree
	[ -z "$(super out 'Filesystem created')" ] || fail "created: $(super out 'Filesystem created')" # none at 0
}

@test "the UUID follows from content and flags" {
	uuid() { super "$1" 'Filesystem UUID'; }
	tree2ext4 -o a in.tree
	sed 's/^vm1$/vm2/; s/ crc32=.*//' in.tree >other.tree
	run --separate-stderr tree2ext4 -o b other.tree
	assert_ok
	[ "$(uuid a)" != "$(uuid b)" ] || fail "the same UUID of other content"
	tree2ext4 --label x -o b in.tree
	[ "$(uuid a)" != "$(uuid b)" ] || fail "the same UUID of other flags"
	[[ $(uuid a) =~ ^.{14}8.{4}[89ab].{16}$ ]] || fail "not of version 8: $(uuid a)"
}

@test "--mtime, --clamp-mtime" {
	need_guest
	times() { seen "$1" | sed 's/.* time=\([^ ]*\).*/\1/' | sort -u; }
	stream "$root" './new type=fifo mode=0644 uid=0 gid=0 time=1700000000.500000000' \
		'./old type=fifo mode=0644 uid=0 gid=0 time=-2.500000000' >times.tree
	for c in '--mtime=5|5.000000000' '--mtime=-1.5|-2.500000000' '--mtime=2024-01-31T12:00:00Z|1706702400.000000000' \
		'--clamp-mtime=1|-2.500000000 1.000000000' '--clamp-mtime=1700000000.25|-2.500000000 1.000000000 1700000000.250000000'; do
		run --separate-stderr tree2ext4 --check "${c%|*}" -o out times.tree
		assert_ok
		[ "$(times out | xargs)" = "${c#*|}" ] || fail "${c%|*}: $(times out | xargs)"
	done
}

@test "whiteouts and other marks are refused" {
	for mark in "$whiteout" "$opaque" "$lower"; do
		stream "$root" "$mark" >marks
		path=${mark%% *}
		run --separate-stderr tree2ext4 -o out marks
		assert_error tree2ext4 1 "${path#./}: "
		run --separate-stderr bash -c 'tree2ext4 marks >fresh'
		assert_error tree2ext4 1 "${path#./}: "
		assert_empty fresh
	done
	stream "$root" "$whiteout" >marks
	run --separate-stderr tree2ext4 -o out marks
	[[ $stderr == *'only the upper disk of an overlay can hold it'*'tree2ext4: hint: merge the layers first: tar2tree on the whole image; or make an upper disk: mkext4upper --tree' ]] ||
		show "no hint"
	assert_no_debris layer.tar in.tree marks fresh
}

@test "what ext4 cannot hold is a warning, or an error that names it" {
	fifo='type=fifo mode=0644 uid=0 gid=0'
	stream "$root" "./f $fifo time=1.000000000 xattr.foo.bar=eA==" "./g $fifo time=1.000000000 xattr.system.x=eA==" >odd
	run --separate-stderr tree2ext4 -o out odd
	assert_status 0
	[ "$stderr" = 'tree2ext4: warning: f: xattr foo.bar: left out (and 1 more)' ] || show "another warning"
	run --separate-stderr tree2ext4 --quiet -o out odd
	assert_ok
	stream "$root" "./f $fifo time=99999999999.000000000" >odd
	run --separate-stderr tree2ext4 -o out odd
	assert_status 0
	[[ $stderr == 'tree2ext4: warning: f: its time is outside the years 1901 to 2446'* ]] || show "another warning"
	clean out
	rm out
	stream "$root" "./f $fifo time=1.000000000 xattr.user.large=$(head -c 5000 /dev/zero | base64 -w0)" >odd
	run --separate-stderr tree2ext4 -o out odd
	assert_error tree2ext4 1 'f: xattr user.large: value of 5000 bytes; '
	stream "$root" "./f $fifo time=1.000000000 xattr.system.posix_acl_access=AAAA" >odd
	run --separate-stderr tree2ext4 -o out odd
	assert_error tree2ext4 1 'f: xattr system.posix_acl_access: no valid access control list'
	stream "$root" './f type=char mode=0644 uid=0 gid=0 time=1.000000000 device=native,4096,0' >odd
	run --separate-stderr tree2ext4 -o out odd
	assert_error tree2ext4 1 'f: device 4096:0'
	assert_no_debris layer.tar in.tree odd
}

@test "usage errors" {
	for c in '--size=1|a size of 1 bytes is too small: 1048576 (1M) at least' '--size=1000K|a size of 1024000 bytes is too small' '--size=65T|too large' '--size=x|is not a size' '--size=8M --free-space=1M|the size is given' '--size=8M --shrink|the size is given' \
		'--shrink --free-space=1M|has no free space' '--journal=1M|journal of 1048576 bytes' '--journal=all|--journal' '--max-size=17T|resize_inode ends below' \
		'--size=2T --max-size=1T|it cannot grow to' '--features=^foo|unknown feature' '--features=^flex_bg|needs flex_bg' \
		'--features=^metadata_csum,metadata_csum_seed|metadata_csum_seed needs metadata_csum' '--features=^resize_inode --max-size=1T|resize_inode' \
		'--bytes-per-inode=1|bytes for an inode' '--label=seventeen-bytes-x|at most 16 bytes' '--uuid=1234|is not a UUID such as' \
		'--mtime=yesterday|is not a time' '--max-entries=many|--max-entries' '-o|--output: value is missing'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr tree2ext4 in.tree ${c%|*} -o out
		[[ ${c%|*} != -o ]] || run --separate-stderr tree2ext4 in.tree -o
		assert_error tree2ext4 2 "${c#*|}"
	done
	assert_no_debris layer.tar in.tree
}

@test "input and output at once" {
	ln in.tree name
	ln -s in.tree link
	cp in.tree before
	for line in 'tree2ext4 -o in.tree in.tree' 'tree2ext4 -o in.tree <in.tree' 'tree2ext4 -o name in.tree' 'tree2ext4 -o link in.tree' \
		'tree2ext4 in.tree >>in.tree'; do
		run --separate-stderr bash -c "$line"
		assert_error tree2ext4 2 ': is input and output at once'
		cmp in.tree before
	done
	assert_no_debris layer.tar in.tree name link before
}

@test "missing, empty and foreign input" {
	echo before >out
	run --separate-stderr tree2ext4 -o out none
	assert_error tree2ext4 1 'none: open: no such file or directory'
	run --separate-stderr tree2ext4 -o out /dev/null
	assert_error tree2ext4 1 'input is empty'
	run --separate-stderr tree2ext4 -o out .
	assert_error tree2ext4 1 'is a directory'
	run --separate-stderr tree2ext4 -o out layer.tar
	assert_error tree2ext4 1 'is a tar archive, not a tree stream'
	run --separate-stderr bash -c 'tar2tree --no-data layer.tar | tree2ext4 -o out'
	assert_error tree2ext4 1 'stream carries no contents of files (data=none)'
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree out
}

@test "truncated stream" {
	size=$(stat -c %s in.tree)
	echo before >out
	for n in 33 100 600 50000 $((size - 30)) $((size - 1)); do
		for line in 'tree2ext4 -o out' 'tree2ext4 >fresh' 'tree2ext4'; do
			run --separate-stderr bash -c "head -c $n in.tree | $line"
			assert_error tree2ext4 1 'cut short'
		done
		assert_empty fresh
	done
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree out fresh
}

@test "corrupt stream, and the cause of an earlier stage" {
	echo before >out
	sed 's/^vm1$/vm2/' in.tree >content
	run --separate-stderr tree2ext4 -o out content
	assert_error tree2ext4 1 'CRC-32 is'
	sed '$s/ crc32=.*//' in.tree >no-crc
	run --separate-stderr tree2ext4 --require-crc -o out no-crc
	assert_error tree2ext4 1 'end line has no CRC'
	run --separate-stderr bash -c 'head -c 3000 layer.tar | tar2tree 2>/dev/null | tree2ext4 -o out'
	assert_error tree2ext4 1 'earlier stage failed: tar2tree: bin/big: layer is cut short at byte 3000 of the tar'
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree out content no-crc
}

@test "limits name their flags" {
	for c in '--max-entries=2' '--max-file-size=99999' '--max-total-size=100003' '--max-tree-memory=1000'; do
		run --separate-stderr tree2ext4 -o out "$c" in.tree
		assert_error tree2ext4 1 'over the limit of'
		[[ $stderr == *"tree2ext4: hint: ${c%%=*} raises the limit" ]] || show "no hint"
	done
	assert_no_debris layer.tar in.tree
}

@test "/dev/full" {
	for line in 'tree2ext4 --shrink in.tree >/dev/full' 'tree2ext4 --shrink -o /dev/full in.tree'; do
		run --separate-stderr bash -c "$line"
		assert_error tree2ext4 1 'no space left on device'
	done
	assert_no_debris layer.tar in.tree
}

@test "full disk" {
	full_disk 64k
	echo before >full/out
	run --separate-stderr tree2ext4 -o full/out in.tree
	assert_error tree2ext4 1 'no space left on device'
	[ "$(<full/out)" = before ] || fail "the target was changed"
	rm full/out
	run --separate-stderr bash -c 'tree2ext4 in.tree >full/out'
	assert_error tree2ext4 1 'no space left on device'
	assert_empty full/out
	rm full/out
	run --separate-stderr bash -c 'tree2ext4 --tmpdir full in.tree | cat'
	assert_status 0
	[ -z "$output" ] || show "something went out"
	[[ $stderr == 'tree2ext4: '*'no space left on device'$'\n''tree2ext4: hint: --tmpdir DIR, '* ]] || show "another message"
	[ -z "$(ls -A full)" ] || fail "debris: $(ls -A full)"
	umount full
	rmdir full
	assert_no_debris layer.tar in.tree
}

@test "closed pipe" {
	run --separate-stderr bash -c 'tree2ext4 in.tree | head -c 100 >/dev/null; exit "${PIPESTATUS[0]}"'
	assert_status 141
	[ -z "$stderr" ] || show "standard error is not empty"
	assert_no_debris layer.tar in.tree
}

@test "interrupt in the middle of the stream" {
	mkfifo "$BATS_TEST_TMPDIR/never"
	exec 7<>"$BATS_TEST_TMPDIR/never"
	for signal in INT TERM HUP; do
		echo before >kept
		head -c 50000 in.tree >&7
		interrupted "$signal" tree2ext4 -o kept
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ "$(<kept)" = before ] || fail "the target was changed"
		[ -z "$stderr" ] || show "standard error is not empty"
		head -c 50000 in.tree >&7
		interrupted "$signal" tree2ext4
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ -z "$stderr" ] || show "standard error is not empty"
		assert_empty out
	done
	exec 7>&-
	assert_no_debris layer.tar in.tree kept out
}

@test "target that cannot be written" {
	mkdir dir
	for target in none/out dir in.tree/out; do
		run --separate-stderr tree2ext4 -o "$target" in.tree
		assert_error tree2ext4 1 "$target: "
	done
	run --separate-stderr tree2ext4 --tmpdir none in.tree
	assert_error tree2ext4 1 'make spool file: none: '
	on_terminal 'tree2ext4 in.tree'
	assert_status 2
	[[ $output == *'tree2ext4: standard output: is a terminal, and the data is binary'* ]] || show "another message"
	assert_no_debris layer.tar in.tree dir
}

@test "zeros become holes, or are kept" {
	mkdir dir
	head -c 300000000 /dev/zero >dir/zeros
	echo end >>dir/zeros
	tar -cf - dir | tar2tree -o in.tree
	run --separate-stderr tree2ext4 --check -o out in.tree
	assert_ok
	(($(stat -c '%b * %B' out) < 20000000)) || fail "$(stat -c '%s, %b blocks' out)"
	mount_image ext4 out mounted
	cmp dir/zeros mounted/dir/zeros
	umount mounted
	run --separate-stderr tree2ext4 --check --keep-zeros -o out in.tree
	assert_ok
	[ "$(stat -c %s out)" -gt 300000000 ] || fail "$(stat -c %s out) bytes"
	rm -r dir in.tree out
}
