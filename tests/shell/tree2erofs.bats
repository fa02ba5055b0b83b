# tree2erofs: what a stream becomes, every flag, failures.

load helpers
setup() {
	common_setup
	small_layer layer.tar
	tar2tree -o in.tree layer.tar
}
teardown() {
	! mountpoint -q full || umount full
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

# large FILE: the stream of 3 MB, which no pipe holds.
large() {
	mkdir "$BATS_TEST_TMPDIR/large"
	head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/large/random"
	tar -C "$BATS_TEST_TMPDIR/large" -cf - . | tar2tree -o "$1"
}

# at FILE OFFSET LENGTH: these bytes in hex.
at() { od -An -v -tx1 -j "$2" -N "$3" "$1" | tr -d ' \n'; }

# super FILE NAME: a line of dump.erofs.
super() { dump.erofs -s "$1" | sed -n "s/^Filesystem $2: *//p"; }

listing() { erofs2tree --no-data "$1" | grep -v '^#'; }

# full_disk mounts one of 64 KiB as full.
full_disk() {
	need_root
	mkdir full
	mount -t tmpfs -o size=64k tmpfs full || skip_or_fail "mounting is not allowed here"
}

@test "an image to -o, > and a pipe: the same" {
	run --separate-stderr tree2erofs -o a in.tree
	assert_ok
	assert_output ''
	for line in 'tree2erofs <in.tree >b; cmp a b' 'cat in.tree | tree2erofs | cmp - a' 'tree2erofs - -o - <in.tree | cat | cmp - a' \
		'tree2erofs --check in.tree >c; cmp a c' 'tree2erofs --require-crc --tmpdir "$TMPDIR" in.tree | cmp - a'; do
		run --separate-stderr bash -c "set -e; $line"
		assert_ok
		assert_output ''
	done
	need fsck.erofs
	fsck.erofs a >/dev/null || fail "fsck.erofs refuses it"
	run --separate-stderr listing a
	assert_ok
	[ "$output" = "$(tar2tree --sort layer.tar | tree2erofs | erofs2tree --no-data - | grep -v '^#')" ] || show "another tree"
	[[ $output == *'./etc/hostname type=file mode=0644 uid=0 gid=0 time=1700000000.000000000 size=4'* ]] || show "no hostname"
	assert_no_debris layer.tar in.tree a b c
}

@test "-o /dev/stdout and other pipes without a name" {
	tree2erofs -o want in.tree
	for line in 'tree2erofs -o /dev/stdout in.tree | cmp - want' 'tree2erofs -o >(cat >out) in.tree; wait $!; cmp out want' \
		'tree2erofs -o /dev/stdout in.tree >out; cmp out want'; do
		run --separate-stderr bash -c "set -e; $line"
		assert_ok
	done
	assert_no_debris layer.tar in.tree want out
}

@test "an empty tree" {
	stream >empty
	run --separate-stderr tree2erofs --check -o out empty
	assert_ok
	[ "$(listing out)" = '. type=dir mode=0755 uid=0 gid=0 time=0.000000000' ] || fail "not a root alone: $(listing out)"
	assert_no_debris layer.tar in.tree empty out
}

@test ">> and what stands before the output" {
	tree2erofs -o want in.tree
	echo before >out
	run --separate-stderr bash -c 'tree2erofs in.tree >>out'
	assert_ok
	(echo before && cat want) | cmp - out
	run --separate-stderr bash -c '{ echo first; tree2erofs in.tree; echo last; } >out'
	assert_ok
	(echo first && cat want && echo last) | cmp - out
	echo before >out
	run --separate-stderr bash -c 'head -c 2000 in.tree | tree2erofs >>out'
	assert_error tree2erofs 1 'cut short at byte 2000'
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree want out
}

@test "whiteouts and other marks need --layer" {
	for mark in "$whiteout" "$opaque" "$lower"; do
		stream "$root" "$mark" >marks
		path=${mark%% *}
		run --separate-stderr tree2erofs -o out marks
		assert_error tree2erofs 1 "${path#./}: "
		[[ $stderr == *'only the image of a layer can hold it'* ]] || show "not the cause"
		[[ $stderr == *'tree2erofs: hint: use --layer, or merge the layers first: tar2tree on the whole image' ]] || show "no hint"
		run --separate-stderr bash -c 'tree2erofs marks >fresh'
		assert_error tree2erofs 1 'only the image of a layer'
		assert_empty fresh
		run --separate-stderr tree2erofs --layer --quiet --check -o image marks
		assert_ok
		run --separate-stderr listing image
		assert_status 0
		[[ $output == *"$path type="* ]] || show "the mark is lost"
	done
	assert_no_debris layer.tar in.tree marks fresh image
}

@test "what overlayfs alone cannot express is a warning" {
	stream "$root" "$lower" './a/b type=fifo mode=0644 uid=0 gid=0 time=1.000000000' >marks
	run --separate-stderr tree2erofs --layer -o out marks
	assert_status 0
	assert_output ''
	[ "$stderr" = "tree2erofs: warning: the kernel's overlayfs alone cannot express 2 entries of this layer (a directory that is only implied); a merged image can" ] ||
		show "another warning"
	run --separate-stderr tree2erofs --layer --quiet -o out marks
	assert_ok
	stream "$root" './a/b type=fifo mode=0644 uid=0 gid=0 time=1.000000000' >marks
	run --separate-stderr tree2erofs --layer -o out marks
	[[ $stderr == *'cannot express 1 entry of this layer'* ]] || show "another warning"
	stream "$root" './f type=fifo mode=0644 uid=0 gid=0 time=1.000000000 xattr.foo.bar=eA==' >odd
	run --separate-stderr tree2erofs -o out odd
	assert_status 0
	[[ $stderr == 'tree2erofs: warning: f: xattr foo.bar'*'left out'* ]] || show "no warning"
	assert_no_debris layer.tar in.tree marks odd out
}

@test "--label, --uuid, --block-size are in the superblock" {
	need dump.erofs
	uuid=01234567-89ab-cdef-0123-456789abcdef
	run --separate-stderr tree2erofs --label 'fifteen  bytes!' --uuid $uuid -o out in.tree
	assert_ok
	[ "$(super out UUID)" = $uuid ] || fail "UUID: $(super out UUID)"
	[ "$(at out 1088 16)" = "$(printf 'fifteen  bytes!\0' | od -An -v -tx1 | tr -d ' \n')" ] || fail "label: $(at out 1088 16)"
	[ "$(at out 1036 1)" = 0c ] || fail "block size: $(at out 1036 1)"
	for bits in 9 10 16; do
		run --separate-stderr tree2erofs --check --block-size $((1 << bits)) -o out in.tree
		assert_ok
		[ $((0x$(at out 1036 1))) = $bits ] || fail "block size: $(at out 1036 1), not $bits"
		run --separate-stderr bash -c 'erofs2tree out | tree2erofs | cmp - <(tree2erofs in.tree)'
		assert_ok
	done
}

@test "the UUID follows from the content" {
	tree2erofs -o a in.tree
	sed 's/^vm1$/vm2/; s/ crc32=.*//' in.tree >other.tree
	run --separate-stderr tree2erofs -o b other.tree
	assert_ok
	[ "$(at a 1072 16)" != "$(at b 1072 16)" ] || fail "the same UUID"
	[[ $(at a 1072 16) =~ ^.{12}8.{3}[89ab].{15}$ ]] || fail "not of version 8: $(at a 1072 16)"
}

@test "--mtime, --clamp-mtime" {
	times() { listing "$1" | sed 's/.* time=\([^ ]*\).*/\1/' | sort -u; }
	stream "$root" './new type=fifo mode=0644 uid=0 gid=0 time=1700000000.500000000' \
		'./old type=fifo mode=0644 uid=0 gid=0 time=-2.500000000' >times.tree
	for c in '--mtime=5|5.000000000' '--mtime=-1.5|-2.500000000' '--mtime=2024-01-31T12:00:00Z|1706702400.000000000' \
		'--clamp-mtime=1|-2.500000000 1.000000000' '--clamp-mtime=1700000000.25|-2.500000000 1.000000000 1700000000.250000000' \
		'--mtime=9 --clamp-mtime=7|7.000000000'; do
		# shellcheck disable=SC2086 # several flags
		run --separate-stderr tree2erofs --check ${c%|*} -o out times.tree
		assert_ok
		[ "$(times out | xargs)" = "${c#*|}" ] || fail "${c%|*}: $(times out | xargs)"
	done
	need dump.erofs
	tree2erofs --mtime=1700000000 -o out in.tree
	[ "$(super out created)" = 'Tue Nov 14 22:13:20 2023' ] || fail "created: $(super out created)"
	dump.erofs --path=/etc/hostname out | grep -qx 'Timestamp: 2023-11-14 22:13:20.000000000' || fail "$(dump.erofs --path=/etc/hostname out)"
}

@test "SOURCE_DATE_EPOCH goes into the superblock, and to no file" {
	tree2erofs --uuid 01234567-89ab-cdef-0123-456789abcdef -o without in.tree
	SOURCE_DATE_EPOCH=1700000258 run --separate-stderr tree2erofs --uuid 01234567-89ab-cdef-0123-456789abcdef -o with in.tree
	assert_ok
	[ "$(at without 1132 4)" = 00000000 ] || fail "a build time from nowhere"
	[ "$(at with 1132 4)" = 02010000 ] || fail "build time: $(at with 1132 4)" # 258 s after the files
	diff <(listing without) <(listing with)
	SOURCE_DATE_EPOCH='' run --separate-stderr bash -c 'tree2erofs --uuid 01234567-89ab-cdef-0123-456789abcdef in.tree | cmp - without'
	assert_ok
}

@test "usage errors" {
	for c in '--block-size=5000|block size 5000 is not a power of two from 512 to 65536' '--block-size=131072|block size' '--block-size=4k|--block-size' \
		'--label=sixteen-bytes-ok|does not fit: at most 15 bytes' '--uuid=1234|is not a UUID such as' \
		'--mtime=yesterday|is not a time' '--clamp-mtime=1.0000000001|is not a time' '--max-entries=many|--max-entries' \
		'-o|--output: value is missing'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr tree2erofs in.tree ${c%|*}
		assert_error tree2erofs 2 "${c#*|}"
	done
	assert_no_debris layer.tar in.tree
}

@test "input and output at once" {
	ln in.tree name
	ln -s in.tree link
	cp in.tree before
	for line in 'tree2erofs -o in.tree in.tree' 'tree2erofs -o in.tree <in.tree' 'tree2erofs -o name in.tree' 'tree2erofs -o link in.tree' \
		'tree2erofs -o in.tree link' 'tree2erofs -o /proc/self/fd/0 <in.tree' 'tree2erofs in.tree >>in.tree' 'tree2erofs /proc/self/fd/1 1<>in.tree'; do
		run --separate-stderr bash -c "$line"
		assert_error tree2erofs 2 ': is input and output at once'
		cmp in.tree before
	done
	assert_no_debris layer.tar in.tree name link before
}

@test "missing, empty and foreign input" {
	echo before >out
	run --separate-stderr tree2erofs -o out none
	assert_error tree2erofs 1 'none: open: no such file or directory'
	run --separate-stderr tree2erofs -o out /dev/null
	assert_error tree2erofs 1 'input is empty'
	run --separate-stderr tree2erofs -o out .
	assert_error tree2erofs 1 'is a directory'
	run --separate-stderr tree2erofs -o out layer.tar
	assert_error tree2erofs 1 'is a tar archive, not a tree stream'
	[[ $stderr == *'hint: tar2tree FILE makes a tree stream of it'* ]] || show "no hint"
	run --separate-stderr bash -c 'tar2tree --no-data layer.tar | tree2erofs -o out'
	assert_error tree2erofs 1 'stream carries no contents of files (data=none)'
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree out
}

@test "truncated stream" {
	size=$(stat -c %s in.tree)
	echo before >out
	for n in 33 34 100 600 50000 $((size - 30)) $((size - 1)); do
		run --separate-stderr bash -c "head -c $n in.tree | tree2erofs -o out"
		assert_error tree2erofs 1 'cut short'
		run --separate-stderr bash -c "head -c $n in.tree | tree2erofs >fresh"
		assert_error tree2erofs 1 'cut short'
		assert_empty fresh
		run --separate-stderr bash -c "head -c $n in.tree | tree2erofs"
		assert_error tree2erofs 1 'cut short'
	done
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree out fresh
}

@test "corrupt stream" {
	sed 's/^vm1$/vm2/' in.tree >content
	sed 's/mode=0755/mode=0754/' in.tree >attribute
	(cat in.tree && echo more) >behind
	sed '$s/ crc32=.*//' in.tree >no-crc
	sed '$s/records=7/records=8/' in.tree >count
	sed 's/ type=link / type=door /' in.tree >word
	for c in 'content|CRC-32 is' 'attribute|CRC-32 is' 'behind|data after the end line' 'count|end line counts 8 records' 'word|type is missing or unknown'; do
		run --separate-stderr tree2erofs -o out "${c%|*}"
		assert_error tree2erofs 1 "${c#*|}"
		[[ $stderr == *' byte '* ]] || show "no offset"
	done
	run --separate-stderr tree2erofs --require-crc -o out no-crc
	assert_error tree2erofs 1 'end line has no CRC'
	run --separate-stderr tree2erofs -o /dev/null no-crc
	assert_ok
	assert_no_debris layer.tar in.tree content attribute behind no-crc count word
}

@test "the cause of an earlier stage is repeated" {
	echo before >out
	run --separate-stderr bash -c 'head -c 3000 layer.tar | tar2tree 2>/dev/null | tree2erofs -o out'
	assert_error tree2erofs 1 'earlier stage failed: tar2tree: bin/big: layer is cut short at byte 3000 of the tar'
	run --separate-stderr bash -c '{ head -c 600 in.tree; printf "\n#abort message=filter:\\\\040no\\\\033\\\\13331mwords\n"; } | tree2erofs >fresh'
	assert_error tree2erofs 1 'earlier stage failed: filter: no\033[31mwords'
	assert_empty fresh
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree out fresh
}

@test "limits name their flags" {
	stream "$root" './a/b/c type=fifo mode=0644 uid=0 gid=0 time=1.000000000 xattr.user.a=eHl6' >deep
	stream "$root" './hole type=file mode=0644 uid=0 gid=0 time=1.000000000 size=1048576 extents=-' >hole
	for c in '--max-hole-bytes=7 hole' '--max-entries=2 in.tree' '--max-file-size=99999 in.tree' '--max-total-size=100003 in.tree' '--max-depth=2 deep' '--max-xattr-bytes=17 deep' '--max-tree-memory=1000 in.tree'; do
		# shellcheck disable=SC2086 # two words
		run --separate-stderr tree2erofs -o out $c
		assert_error tree2erofs 1 'over the limit of'
		[[ $stderr == *"tree2erofs: hint: ${c%%=*} raises the limit" ]] || show "no hint"
	done
	run --separate-stderr tree2erofs -o out --max-entries=7 --max-file-size=100000 --max-total-size=100004 --max-depth=2 in.tree
	assert_ok
	assert_no_debris layer.tar in.tree deep hole out
}

@test "/dev/full" {
	for line in 'tree2erofs in.tree >/dev/full' 'tree2erofs -o /dev/full in.tree'; do
		run --separate-stderr bash -c "$line"
		assert_error tree2erofs 1 'no space left on device'
	done
	assert_no_debris layer.tar in.tree
}

@test "full disk" {
	full_disk
	echo before >full/out
	run --separate-stderr tree2erofs -o full/out in.tree
	assert_error tree2erofs 1 'no space left on device'
	[ "$(<full/out)" = before ] || fail "the target was changed"
	rm full/out
	run --separate-stderr bash -c 'tree2erofs in.tree >full/out'
	assert_error tree2erofs 1 'no space left on device'
	assert_empty full/out
	rm full/out
	run --separate-stderr bash -c 'tree2erofs --tmpdir full in.tree | cat'
	assert_status 0
	[ -z "$output" ] || show "something went out"
	[[ $stderr == 'tree2erofs: '*'no space left on device'$'\n''tree2erofs: hint: --tmpdir DIR, '* ]] || show "another message"
	[ -z "$(ls -A full)" ] || fail "debris: $(ls -A full)"
	umount full
	rmdir full
	assert_no_debris layer.tar in.tree
}

@test "closed pipe" {
	large large.tree
	run --separate-stderr bash -c 'tree2erofs large.tree | head -c 100 >/dev/null; exit "${PIPESTATUS[0]}"'
	assert_status 141
	[ -z "$stderr" ] || show "standard error is not empty"
	assert_no_debris layer.tar in.tree large.tree
}

@test "interrupt in the middle of the stream" {
	mkfifo "$BATS_TEST_TMPDIR/never"
	exec 7<>"$BATS_TEST_TMPDIR/never"
	for signal in INT TERM HUP; do
		echo before >kept
		head -c 50000 in.tree >&7
		interrupted "$signal" tree2erofs -o kept
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ "$(<kept)" = before ] || fail "the target was changed"
		[ -z "$stderr" ] || show "standard error is not empty"
		head -c 50000 in.tree >&7
		interrupted "$signal" tree2erofs
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ -z "$stderr" ] || show "standard error is not empty"
		assert_empty out
	done
	exec 7>&-
	assert_no_debris layer.tar in.tree kept out
}

@test "target that cannot be written" {
	mkdir dir
	ln -s loop loop
	for target in none/out dir loop in.tree/out; do
		run --separate-stderr tree2erofs -o "$target" in.tree
		assert_error tree2erofs 1 "$target: "
	done
	run --separate-stderr tree2erofs --tmpdir none in.tree
	assert_error tree2erofs 1 'make spool file: none: '
	rm loop
	assert_no_debris layer.tar in.tree dir
}

@test "terminal" {
	on_terminal 'tree2erofs in.tree'
	assert_status 2
	[[ $output == *'tree2erofs: standard output: is a terminal, and the data is binary'*'hint: use -o FILE, or connect a pipe'* ]] || show "another message"
	on_terminal 'tree2erofs -o /dev/tty in.tree'
	assert_status 2
	[[ $output == *'tree2erofs: /dev/tty: is a terminal, and the data is binary'* ]] || show "another message"
	on_terminal 'tree2erofs -o out'
	assert_status 2
	[[ $output == *'tree2erofs: standard input: is a terminal'* ]] || show "another message"
	assert_no_debris layer.tar in.tree
}

@test "zeros become holes, or are kept" {
	mkdir dir
	head -c 300000000 /dev/zero >dir/zeros
	echo end >>dir/zeros
	tar -cf - dir | tar2tree -o in.tree
	run --separate-stderr tree2erofs --check -o out in.tree
	assert_ok
	(($(stat -c '%b * %B' out) < 20000000)) || fail "$(stat -c '%s, %b blocks' out)"
	mount_image erofs out mounted
	cmp dir/zeros mounted/dir/zeros
	umount mounted
	run --separate-stderr tree2erofs --check --keep-zeros -o out in.tree
	assert_ok
	[ "$(stat -c %s out)" -gt 300000000 ] || fail "$(stat -c %s out) bytes"
	rm -r dir in.tree out
}
