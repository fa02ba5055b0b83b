# tree2tar: what a stream becomes, as other tars read it, every flag, failures.

load helpers
setup() {
	common_setup
	small_layer layer.tar
	tar2tree -o in.tree layer.tar
}
teardown() {
	! mountpoint -q full || umount full
}

# stream RECORD...: a stream of these lines, without contents and checksum.
stream() {
	printf '#mtree ocipipe-tree 1 data=inline\n'
	printf '%s\n' "$@"
	printf '#end records=%d bytes=0\n' $#
}
plain='mode=0644 uid=0 gid=0 time=1.000000000'

# medium FILE: the stream of 5 MB, some blocks of gzip, that compress.
medium() {
	mkdir "$BATS_TEST_TMPDIR/medium"
	seq 700000 >"$BATS_TEST_TMPDIR/medium/numbers"
	tar -C "$BATS_TEST_TMPDIR/medium" --mtime=@1 --owner=0 --group=0 -cf - . | tar2tree -o "$1"
}

listing() { tar2tree --no-data "$@" | grep -v '^#'; }

@test "a tar to -o, > and a pipe: the same, and the tree comes back" {
	run --separate-stderr tree2tar -o a.tar in.tree
	assert_ok
	assert_output ''
	for line in 'tree2tar <in.tree >b.tar; cmp a.tar b.tar' 'cat in.tree | tree2tar | cmp - a.tar' 'tree2tar - -o - <in.tree | cmp - a.tar' \
		'tree2tar -z plain --require-crc in.tree | cmp - a.tar' 'tar2tree a.tar | cmp - in.tree' 'tree2tar --oci in.tree | cmp - a.tar'; do
		run --separate-stderr bash -c "set -e; $line"
		assert_ok
		assert_output ''
	done
	assert_no_debris layer.tar in.tree a.tar b.tar
}

@test "-z gzip and zstd: the same bytes each time" {
	need zstd
	medium medium.tree
	tree2tar -o plain medium.tree
	for kind in gzip zstd; do
		run --separate-stderr bash -c "tree2tar -z $kind medium.tree >packed"
		assert_ok
		$kind -dc <packed | cmp - plain
		[ $(($(stat -c %s packed) * 2)) -lt "$(stat -c %s plain)" ] || fail "not compressed"
		for procs in 1 2 2; do
			GOMAXPROCS=$procs run --separate-stderr bash -c "cat medium.tree | tree2tar --compress=$kind | cmp - packed"
			assert_ok
		done
		run --separate-stderr bash -c 'tar2tree packed | cmp - <(tar2tree plain)'
		assert_ok
	done
	assert_no_debris layer.tar in.tree medium.tree plain packed
}

@test "GNU tar and bsdtar extract all of it" {
	need_root
	need bsdtar getfattr
	long=$(printf 'n%.0s' {1..120})
	{
		printf '#mtree ocipipe-tree 1 data=inline\n'
		printf '. type=dir mode=0751 uid=7 gid=8 time=1700000000.000000000\n'
		printf './%s type=file mode=4755 uid=4000000000 gid=3000000 time=1700000000.123456789 size=4 xattr.user.a=AHg= xattr.trusted.b=\nabcd\n' "$long"
		printf './link type=link mode=0777 uid=0 gid=0 time=-5.000000000 link=%s\n' "$long$long"
		printf './other type=file mode=4755 uid=4000000000 gid=3000000 time=1700000000.123456789 size=4 hardlink=./%s xattr.user.a=AHg= xattr.trusted.b=\n' "$long"
		printf './null type=char mode=0666 uid=0 gid=0 time=1.000000000 device=native,1,3\n'
		printf './bad\\377\\012 type=fifo mode=0600 uid=0 gid=0 time=1.000000000\n'
		printf './sparse type=file mode=0600 uid=0 gid=0 time=1.000000000 size=1048576 extents=65536+4096\n%4096d\n' 1
		printf '#end records=7 bytes=4100\n'
	} >all.tree
	run --separate-stderr tree2tar -o all.tar all.tree
	assert_ok
	for tool in 'tar --xattrs --xattrs-include=* -Sp' 'bsdtar -Sp'; do
		mkdir out
		$tool --numeric-owner -C out -xf all.tar
		facts() { stat -c '%f %u %g %.9Y %h %t:%T %s' "$1"; }
		[ "$(facts "out/$long")" = '89ed 4000000000 3000000 1700000000.123456789 2 0:0 4' ] || fail "$tool: $(facts "out/$long")"
		[ "out/$long" -ef out/other ] || fail "$tool: not a hard link"
		[ "$(readlink out/link)" = "$long$long" ] || fail "$tool: another target"
		[ "$(stat -c %Y out/link)" = -5 ] || fail "$tool: another time"
		[ "$(stat -c '%f %t:%T' out/null)" = '21b6 1:3' ] || fail "$tool: $(stat -c '%f %t:%T' out/null)"
		[ -p "out/$(printf 'bad\377\n.')" ] || [ -p out/$'bad\377\n' ] || fail "$tool: $(ls -b out)"
		[ "$(facts out | cut -d' ' -f1-3)" = '41e9 7 8' ] || fail "$tool: $(facts out)"
		[ "$(getfattr --only-values -n user.a "out/$long" | od -An -tx1 | tr -d ' ')" = 0078 ] || fail "$tool: xattr"
		getfattr -h -d -m trusted "out/$long" | grep -q '^trusted.b' || fail "$tool: no trusted xattr"
		printf '%4096d' 1 | cmp - <(tail -c +65537 out/sparse | head -c 4096)
		[ "$(stat -c %s out/sparse)" = 1048576 ] || fail "$tool: $(stat -c %s out/sparse)"
		[ "$(stat -c %b out/sparse)" -le 16 ] || fail "$tool: holes were filled: $(stat -c %b out/sparse) blocks"
		rm -r out
	done
	assert_no_debris layer.tar in.tree all.tree all.tar
}

@test "--oci: a layer comes back with all its marks" {
	mkdir -p l/d/e l/o l/i/deep l/new
	echo content | tee l/file l/o/f l/i/deep/f l/new/f >/dev/null
	touch l/below l/d/.wh.gone l/d/e/.wh..wh..opq l/.wh.top l/o/.wh..wh..opq l/i/.wh..wh..opq l/.wh..wh..opq l/.wh.new
	ln l/file l/name2
	ln l/below l/cross
	# No entries for l/d, l/d/e and l/i, and none for the target of a link.
	tar -C l --mtime=@1700000000 --owner=1 --group=2 --no-recursion -cf marks.tar . file name2 below cross \
		d/.wh.gone d/e/.wh..wh..opq .wh.top o o/.wh..wh..opq o/f i/.wh..wh..opq i/deep/f .wh..wh..opq .wh.new new/f
	tar --delete -f marks.tar below
	for sort in '' --sort; do
		# shellcheck disable=SC2086 # no word where it is empty
		tar2tree $sort -o marks.tree marks.tar
		for word in 'cross type=file .* hardlink=./below lower' 'name2 type=file .* hardlink=./file' 'd/gone type=char .* device=native,0,0' \
			'd/e type=dir .* nochange xattr.trusted.overlay.opaque' 'o type=dir .* xattr.trusted.overlay.opaque' \
			'i type=dir .* nochange' 'new type=dir .* xattr.trusted.overlay.opaque' 'top type=char'; do
			grep -aqx "\./$word.*" marks.tree || fail "the test has no: $word" "$(grep -a ^./ marks.tree)"
		done
		for z in plain gzip zstd; do
			run --separate-stderr bash -c "tree2tar --oci -z $z marks.tree | tar2tree --sort | cmp - <(tar2tree --sort marks.tar)"
			assert_ok
		done
		run --separate-stderr bash -c 'tree2tar --oci marks.tree | tar2tree | tree2tar --oci | cmp - <(tree2tar --oci marks.tree | tar2tree | tree2tar --oci)'
		assert_ok
		run --separate-stderr tree2tar -o out marks.tree
		assert_error tree2tar 1 ': the tree is a layer'
	done
	run --separate-stderr bash -c 'tree2tar --oci marks.tree | tar -tf - | grep -F .wh. | sort | xargs'
	assert_output '.wh..wh..opq .wh.top d/.wh.gone d/e/.wh..wh..opq i/.wh..wh..opq new/.wh..wh..opq o/.wh..wh..opq'
	rm -r l
	assert_no_debris layer.tar in.tree marks.tar marks.tree
}

@test "marks without --oci are refused with a hint" {
	for c in "gone type=char $plain device=native,0,0|whiteout" "dir type=dir $plain xattr.trusted.overlay.opaque=eQ==|opaque directory" \
		"dir type=dir $plain nochange|directory without attributes" "link type=file $plain size=0 hardlink=./below lower|hard link to a layer below"; do
		stream "./${c%|*}" >marks
		run --separate-stderr tree2tar -o out marks
		assert_error tree2tar 1 "tree2tar: marks: ${c%% *}: ${c#*|}: the tree is a layer"
		[[ $stderr == *'tree2tar: hint: --oci writes the tar of a layer' ]] || show "no hint"
		run --separate-stderr bash -c 'tree2tar --oci marks | tar2tree --no-data'
		assert_ok
	done
	assert_no_debris layer.tar in.tree marks
}

@test "what a tar cannot hold is refused in words" {
	stream "./run/s type=socket $plain" >socket
	run --separate-stderr tree2tar -o out socket
	assert_error tree2tar 1 'run/s: '
	[[ $stderr == *'tar has no socket' ]] || show "another cause"
	run --separate-stderr bash -c 'tree2tar --oci socket | tar -t'
	assert_status 0
	assert_output run/.wh.s
	[ "$stderr" = 'tree2tar: warning: socket run/s: left out' ] || show "another warning"
	stream "./.wh.a/b type=fifo $plain" >name
	run --separate-stderr tree2tar --oci -o out name
	assert_error tree2tar 1 '.wh.a/b: the name would be taken for a whiteout'
	run --separate-stderr bash -c 'tree2tar name | tar -tf -'
	assert_ok
	assert_output .wh.a/b
	assert_no_debris layer.tar in.tree socket name
}

@test "usage errors" {
	for c in '-z xz in.tree|is none of' '--compress in.tree|in.tree' '--max-entries=x in.tree|--max-entries' 'in.tree in.tree|unexpected argument'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr tree2tar ${c%|*}
		assert_error tree2tar 2 "${c#*|}"
		[[ $stderr == *'hint: see tree2tar --help' ]] || show "no hint"
	done
	cp in.tree before
	for line in 'tree2tar -o in.tree in.tree' 'tree2tar -o in.tree <in.tree' 'tree2tar in.tree >>in.tree' 'tree2tar -o /proc/self/fd/0 <in.tree'; do
		run --separate-stderr bash -c "$line"
		assert_error tree2tar 2 ': is input and output at once'
		cmp in.tree before
	done
	assert_no_debris layer.tar in.tree before
}

@test "missing, empty and foreign input" {
	echo before >out
	for c in 'none|none: open: no such file or directory' '/dev/null|input is empty' '.|is a directory' 'layer.tar|is a tar archive, not a tree stream'; do
		run --separate-stderr tree2tar -o out "${c%|*}"
		assert_error tree2tar 1 "${c#*|}"
	done
	run --separate-stderr bash -c 'tar2tree --no-data layer.tar | tree2tar -o out'
	assert_error tree2tar 1 'stream carries no contents of files (data=none)'
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree out
}

@test "truncated stream" {
	size=$(stat -c %s in.tree)
	echo before >out
	for n in 33 100 600 50000 $((size - 30)) $((size - 1)); do
		for z in plain gzip; do
			run --separate-stderr bash -c "head -c $n in.tree | tree2tar -z $z -o out"
			assert_error tree2tar 1 'cut short'
			run --separate-stderr bash -c "head -c $n in.tree | tree2tar -z $z >fresh"
			assert_error tree2tar 1 'cut short'
			assert_empty fresh
		done
		# What went into a pipe is not taken for a whole archive.
		run --separate-stderr bash -c "head -c $n in.tree | tree2tar 2>/dev/null | tar2tree -o again"
		assert_error tar2tree 1 '(see the message of the stage that wrote it)'
	done
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree out fresh
}

@test "a failure is one for whoever reads the tar, too" {
	need bsdtar
	stream "./a type=fifo $plain" "./run/s type=socket $plain" >socket
	for line in 'head -c 700 in.tree | tree2tar' 'head -c 50000 in.tree | tree2tar' 'tree2tar socket' 'tree2tar -z gzip socket' 'tree2tar none'; do
		for reader in 'tar -tf -' 'bsdtar -tf -' 'tar2tree -o out'; do
			[[ $line != *gzip* || $reader != 'tar '* ]] || reader='tar -tzf -'
			run --separate-stderr bash -c "($line) 2>/dev/null | $reader >/dev/null"
			[ "$status" != 0 ] || [[ $line$reader == *none*bsdtar* ]] || show "$line | $reader"
		done
	done
	assert_no_debris layer.tar in.tree socket
}

@test "corrupt stream" {
	sed 's/^vm1$/vm2/' in.tree >content
	sed 's/mode=0755/mode=0754/' in.tree >attribute
	(cat in.tree && echo more) >behind
	sed '$s/ crc32=.*//' in.tree >no-crc
	for c in 'content|CRC-32 is' 'attribute|CRC-32 is' 'behind|data after the end line'; do
		run --separate-stderr tree2tar -o out "${c%|*}"
		assert_error tree2tar 1 "${c#*|}"
	done
	run --separate-stderr tree2tar --require-crc -o out no-crc
	assert_error tree2tar 1 'end line has no CRC'
	run --separate-stderr bash -c 'tree2tar no-crc | cmp - <(tree2tar in.tree)'
	assert_ok
	assert_no_debris layer.tar in.tree content attribute behind no-crc
}

@test "the cause of an earlier stage is repeated" {
	echo before >out
	run --separate-stderr bash -c 'head -c 3000 layer.tar | tar2tree 2>/dev/null | tree2tar -o out'
	assert_error tree2tar 1 'earlier stage failed: tar2tree: bin/big: layer is cut short at byte 3000 of the tar'
	run --separate-stderr bash -c 'tar2tree none 2>/dev/null | tree2tar >fresh'
	assert_error tree2tar 1 'earlier stage failed: tar2tree: '
	assert_empty fresh
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar in.tree out fresh
}

@test "limits name their flags" {
	stream "./a/b/c type=fifo $plain xattr.user.a=eHl6" >deep
	for c in '--max-entries=2 in.tree' '--max-file-size=99999 in.tree' '--max-total-size=100003 in.tree' '--max-depth=2 deep' '--max-xattr-bytes=17 deep' '--max-tree-memory=1000 in.tree'; do
		# shellcheck disable=SC2086 # two words
		run --separate-stderr tree2tar -o out $c
		assert_error tree2tar 1 'over the limit of'
		[[ $stderr == *"tree2tar: hint: ${c%%=*} raises the limit" ]] || show "no hint"
	done
	assert_no_debris layer.tar in.tree deep
}

@test ">> adds, and keeps what was there" {
	tree2tar -o want in.tree
	echo before >out
	run --separate-stderr bash -c 'tree2tar in.tree >>out'
	assert_ok
	(echo before && cat want) | cmp - out
	assert_no_debris layer.tar in.tree want out
}

@test "/dev/full" {
	for z in plain gzip zstd; do
		for line in "tree2tar -z $z in.tree >/dev/full" "tree2tar -z $z -o /dev/full in.tree"; do
			run --separate-stderr bash -c "$line"
			assert_error tree2tar 1 'no space left on device'
		done
	done
	assert_no_debris layer.tar in.tree
}

@test "full disk" {
	need_root
	mkdir full
	mount -t tmpfs -o size=64k tmpfs full || skip_or_fail "mounting is not allowed here"
	echo before >full/out
	run --separate-stderr tree2tar -o full/out in.tree
	assert_error tree2tar 1 'no space left on device'
	[ "$(<full/out)" = before ] || fail "the target was changed"
	rm full/out
	run --separate-stderr bash -c 'tree2tar in.tree >full/out'
	assert_error tree2tar 1 'no space left on device'
	assert_empty full/out
	[ "$(ls -A full)" = out ] || fail "debris: $(ls -A full)"
	umount full
	rmdir full
	assert_no_debris layer.tar in.tree
}

@test "closed pipe" {
	medium medium.tree
	for z in plain gzip; do
		run --separate-stderr bash -c "tree2tar -z $z medium.tree | head -c 100 >/dev/null; exit \"\${PIPESTATUS[0]}\""
		assert_status 141
		[ -z "$stderr" ] || show "standard error is not empty"
	done
	assert_no_debris layer.tar in.tree medium.tree
}

@test "interrupt in the middle of the stream" {
	mkfifo "$BATS_TEST_TMPDIR/never"
	exec 7<>"$BATS_TEST_TMPDIR/never"
	for signal in INT TERM HUP; do
		echo before >kept
		head -c 50000 in.tree >&7
		interrupted "$signal" tree2tar -z gzip -o kept
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ "$(<kept)" = before ] || fail "the target was changed"
		[ -z "$stderr" ] || show "standard error is not empty"
		head -c 50000 in.tree >&7
		interrupted "$signal" tree2tar
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		assert_empty out
	done
	exec 7>&-
	assert_no_debris layer.tar in.tree kept out
}

@test "target that cannot be written" {
	mkdir dir
	ln -s loop loop
	for target in none/out dir loop in.tree/out; do
		run --separate-stderr tree2tar -o "$target" in.tree
		assert_error tree2tar 1 "$target: "
	done
	rm loop
	assert_no_debris layer.tar in.tree dir
}

@test "terminal" {
	on_terminal 'tree2tar in.tree'
	assert_status 2
	[[ $output == *'tree2tar: standard output: is a terminal, and the data is binary'* ]] || show "another message"
	on_terminal 'tree2tar -o out'
	assert_status 2
	[[ $output == *'tree2tar: standard input: is a terminal'* ]] || show "another message"
	assert_no_debris layer.tar in.tree
}
