# tree2erofs --compress: every algorithm and index with the kernel as the judge, hints,
# failures.

load helpers
setup() {
	common_setup
	mkdir "$BATS_TEST_TMPDIR/src"
	src=$BATS_TEST_TMPDIR/src
	seq 1 200000 >"$src/seq"
	seq 1 3000 >"$src/small"
	head -c 300000 /dev/urandom >"$src/random"
	head -c 2000000 /dev/zero >"$src/zeros"
	(head -c 22000 /dev/urandom && cat "$src/seq") >"$src/random-then-seq"
	(cat "$src/seq" "$src/zeros" "$src/random") >"$src/mixed"
	cp "$src/seq" "$src/seq.log"
	for n in 0 1 4095 4096 4097 8192 8193 65536 65537 131073; do
		head -c $n "$src/seq" >"$src/$n"
	done
	tar -C "$src" -cf - . | tar2tree --sort -o in.tree
}
teardown() {
	! mountpoint -q full || umount full
	unmount_all
}

# judge IMAGE: the kernel and fsck.erofs read what src has.
judge() {
	mount_image erofs "$1" at
	diff -r "$src" at || fail "$1 has other contents"
	umount at
	rmdir at
}

algorithms='lz4 lz4hc,4 zstd deflate'

@test "every algorithm, cluster and index: the kernel reads it" {
	need_root
	for algorithm in $algorithms; do
		for flags in '' --pcluster=4K '--pcluster=1M --layer' --extents=encoded '--extents=encoded --pcluster=8K --block-size=1024'; do
			# shellcheck disable=SC2086 # several flags
			run --separate-stderr tree2erofs --quiet -z $algorithm $flags -o out in.tree
			assert_ok
			[ "$(stat -c %s out)" -lt "$(($(stat -c %s in.tree) * 3 / 4))" ] || fail "$algorithm $flags: $(stat -c %s out) bytes"
			judge out
		done
	done
	assert_no_debris in.tree out
}

@test "fsck.erofs reads LZ4" {
	need fsck.erofs
	for flags in '' --pcluster=4K; do
		# shellcheck disable=SC2086 # no flag or one
		tree2erofs -z lz4 $flags -o out in.tree
		run fsck.erofs --extract out
		assert_status 0
		[[ $output != *'<E>'* ]] || show "errors"
	done
}

@test "the same bytes on one core and on several, to a file and to a pipe" {
	for algorithm in $algorithms; do
		run --separate-stderr bash -c "set -e; export GOMAXPROCS=1; tree2erofs --quiet -z $algorithm -o a in.tree
			GOMAXPROCS=4 tree2erofs --quiet -z $algorithm <in.tree | cmp - a"
		assert_ok
	done
	assert_no_debris in.tree a
}

@test "what mounts the image is a warning, unless it is LZ4" {
	for c in 'zstd|Linux 6.10 and later can mount the image, with CONFIG_EROFS_FS_ZIP_ZSTD' \
		'deflate|Linux 6.6 and later can mount the image, with CONFIG_EROFS_FS_ZIP_DEFLATE' \
		'lz4 --block-size=2048|Linux 6.8 and later can mount the image, with CONFIG_EROFS_FS_ZIP' \
		'lz4 --extents=encoded|Linux 6.15 and later can mount the image, with CONFIG_EROFS_FS_ZIP'; do
		# shellcheck disable=SC2086 # several flags
		run --separate-stderr tree2erofs -z ${c%|*} -o out in.tree
		assert_status 0
		[ "$stderr" = "tree2erofs: warning: only ${c#*|}" ] || show "another warning"
	done
	for algorithm in lz4 lz4hc,2 none; do
		run --separate-stderr tree2erofs -z $algorithm -o out in.tree
		assert_ok
	done
	cmp out <(tree2erofs in.tree)
}

@test "--compress-hints" {
	need dump.erofs
	printf '# logs are cold\n*.log zstd,19\n\n/random-then-seq\tnone\n4097 lz4hc,3\n' >hints
	run --separate-stderr tree2erofs --quiet -z lz4 --compress-hints hints -o out in.tree
	assert_ok
	judge out
	layout() { dump.erofs --path="/$1" out | sed -n 's/.*Layout: \([0-9]\).*/\1/p'; }
	[ "$(layout seq)" = 3 ] || fail "seq has layout $(layout seq)"
	[ "$(layout random-then-seq)" = 2 ] || fail "random-then-seq has layout $(layout random-then-seq)"
	run --separate-stderr bash -c 'tree2erofs --quiet -z lz4 --compress-hints - -o out2 in.tree <hints && cmp out out2'
	assert_ok
	run --separate-stderr tree2erofs --quiet --compress-hints hints -o out in.tree
	assert_ok
	[ "$(layout seq)" = 2 ] && [ "$(layout seq.log)" = 3 ] || fail "layouts $(layout seq) and $(layout seq.log)"
	assert_no_debris in.tree hints out out2
}

@test "--check, and back to a stream" {
	for algorithm in $algorithms; do
		run --separate-stderr tree2erofs --quiet --check -z "$algorithm" -o out in.tree
		assert_ok
		mkdir back
		erofs2tree out | tree2tar | tar -C back -xf -
		diff -r "$src" back || fail "$algorithm: other contents"
		rm -r back
		run --separate-stderr bash -c "erofs2tree out | tree2erofs --quiet -z $algorithm | cmp - out"
		assert_ok
	done
	assert_no_debris in.tree out
}

@test "hints that are wrong" {
	for c in '*.gz|line 1: "*.gz" is not a pattern and an algorithm' '/ zstd|line 1: pattern "/" has no name' '# x\n*.gz lzma|line 2: "lzma" is not an algorithm' \
		'a none\n[b none|line 2: pattern "[b": syntax error in pattern' 'a zstd,23|line 1: "zstd,23": the levels of zstd are 1 to 22'; do
		# shellcheck disable=SC2059 # with escapes
		printf "${c%|*}\n" >hints
		run --separate-stderr tree2erofs -z lz4 --compress-hints hints -o out in.tree
		assert_error tree2erofs 1 "hints: ${c#*|}"
	done
	run --separate-stderr tree2erofs -z lz4 --compress-hints none -o out in.tree
	assert_error tree2erofs 1 'none: open: no such file or directory'
	run --separate-stderr tree2erofs -z lz4 --compress-hints . -o out in.tree
	assert_error tree2erofs 1 '.: is a directory'
	head -c 70000 /dev/zero >hints
	run --separate-stderr tree2erofs -z lz4 --compress-hints hints -o out in.tree
	assert_error tree2erofs 1 'hints: line 1: longer than 65535 bytes'
	run --separate-stderr bash -c 'tree2erofs -z lz4 --compress-hints - -o out <in.tree'
	assert_error tree2erofs 2 'standard input is the tree, not --compress-hints'
	assert_no_debris in.tree hints
}

@test "usage errors" {
	for c in '-z lzma|is not an algorithm: lz4, lz4hc, zstd, deflate or none' '-z zstd,0|the levels of zstd are 1 to 22' \
		'-z lz4,1|lz4 has no levels' '-z lz4 --pcluster=5000|cluster of 5000 bytes' '-z lz4 --pcluster=2M|cluster of 2097152 bytes' \
		'-z lz4 --pcluster=3K|a cluster of 3072 bytes is not possible: want a power of two from 4096 (a block) to 1048576' '-z zstd --pcluster=4097|cluster of 4097 bytes' \
		'-z deflate --pcluster=1024|cluster of 1024 bytes is not possible: want a power of two from 4096' '-z lz4 --pcluster=0|a cluster of 0 bytes holds nothing' \
		'--pcluster=0|a cluster of 0 bytes holds nothing' '-z lz4 --pcluster=-1|is not a size' '-z lz4 --pcluster=|is not a size' \
		'-z lz4 --block-size=8192 --pcluster=4K|a power of two from 8192' '-z lz4 --extents=some|--extents' \
		'--pcluster=4K|--pcluster is about compressed files, and needs --compress' '--extents=encoded|--extents is about compressed files' \
		'-z none --extents=index|--extents is about compressed files' '-z none --pcluster=8K|--pcluster is about compressed files'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr tree2erofs ${c%|*} -o out in.tree
		assert_error tree2erofs 2 "${c#*|}"
	done
	run --separate-stderr tree2erofs --fsmeta -z lz4 layer
	assert_error tree2erofs 2 '--fsmeta writes no content, and --compress is about that'
	assert_no_debris in.tree
}

@test "truncated stream, full disk, closed pipe, interrupt" {
	echo before >out
	for n in 500 100000 $(($(stat -c %s in.tree) - 10)); do
		run --separate-stderr bash -c "head -c $n in.tree | tree2erofs -z lz4 -o out"
		assert_error tree2erofs 1 'cut short'
	done
	run --separate-stderr bash -c 'tree2erofs --quiet -z deflate in.tree >/dev/full'
	assert_error tree2erofs 1 'no space left on device'
	run --separate-stderr bash -c 'tree2erofs --quiet -z zstd in.tree | head -c 100 >/dev/null; exit "${PIPESTATUS[0]}"'
	assert_status 141
	[ -z "$stderr" ] || show "standard error is not empty"
	full_disk 64k
	run --separate-stderr tree2erofs --quiet -z lz4 -o full/out in.tree
	assert_error tree2erofs 1 'no space left on device'
	[ -z "$(ls -A full)" ] || fail "debris: $(ls -A full)"
	umount full
	rmdir full
	mkfifo "$BATS_TEST_TMPDIR/never"
	exec 7<>"$BATS_TEST_TMPDIR/never"
	head -c 50000 in.tree >&7
	interrupted INT tree2erofs -z lz4hc,12 -o out
	[ "$status" -eq 130 ] || show "not ended by SIGINT"
	exec 7>&-
	[ "$(<out)" = before ] || fail "the target was changed"
	assert_no_debris in.tree out
}

# no_room LINE: the shell line says one line about a full disk, and leaves nothing below full.
no_room() {
	run --separate-stderr bash -c "$1"
	assert_error tree2erofs 1 'no space left on device'
	[ "$(grep -vc '^tree2erofs: hint: ' <<<"$stderr")" = 1 ] || show "more than one line"
	[ -z "$(ls -A full)" ] || fail "$1: debris: $(ls -A full)"
}

@test "no room in the middle of compressed data, in the output and in spool files" {
	size=$(tree2erofs --quiet -z zstd in.tree | wc -c)
	full_disk "$((size / 4096))k"
	for algorithm in $algorithms; do
		no_room "tree2erofs --quiet -z $algorithm -o full/out in.tree"
		no_room "tree2erofs --quiet -z $algorithm --tmpdir full in.tree | cat >/dev/null; exit \${PIPESTATUS[0]}"
		no_room "TMPDIR=full tree2erofs --quiet -z $algorithm in.tree | cat >/dev/null; exit \${PIPESTATUS[0]}"
	done
	umount full
	assert_no_debris in.tree full
}

@test "a directory for spool files that is read-only is no obstacle to a file" {
	full_disk 64k
	mount -o remount,ro full
	run --separate-stderr bash -c "TMPDIR=\$PWD/full tree2erofs --quiet --check -z zstd -o out in.tree"
	assert_ok
	run --separate-stderr bash -c "tree2erofs --quiet -z zstd --tmpdir full in.tree | cat >/dev/null; exit \${PIPESTATUS[0]}"
	assert_error tree2erofs 1 'read-only file system'
	umount full
	assert_no_debris in.tree out full
}

@test "SIGTERM while contents are compressed" {
	mkfifo "$BATS_TEST_TMPDIR/never"
	exec 7<>"$BATS_TEST_TMPDIR/never"
	for algorithm in lz4 zstd,19 deflate,9; do
		head -c 60000 in.tree >&7
		interrupted TERM tree2erofs --quiet -z "$algorithm" -o out
		[ "$status" -eq 143 ] || show "not ended by SIGTERM"
		[ "$(wc -l <<<"$stderr")" -le 1 ] || show "more than one line"
	done
	exec 7>&-
	assert_no_debris in.tree
}
