# erofs2tree: images of ours and of others, every flag, failures.

load helpers
setup() {
	common_setup
	small_layer layer.tar
	tar2tree --sort layer.tar | tree2erofs -o image
}
teardown() {
	! mountpoint -q full || umount full
}

# listing of an image, without contents and checksum.
listing() { erofs2tree --no-data "$1" | grep -v '^#'; }

# assert_aborted TEXT: the stream that went out ends in this cause.
assert_aborted() {
	assert_status 1
	[[ ${output##*$'\n'} == '#abort message=erofs2tree:\040'* ]] || show "no abort line"
	[[ ${output##*$'\n'} == *"${1// /'\040'}"* ]] || show "another cause"
	assert_stderr_line erofs2tree "$1"
}

# tree_of_files makes the directory tree, with files of all kinds of layout.
tree_of_files() {
	mkdir -p tree/sub
	seq 20000 >tree/numbers
	echo short >tree/sub/short
	ln tree/numbers tree/sub/linked
	ln -s ../numbers tree/sub/link
	: >tree/empty
	truncate -s 1M tree/hole
	find tree -exec touch -hd @1700000000 {} +
}

@test "an image from a file, -, and a pipe: the same" {
	run --separate-stderr bash -c 'erofs2tree image >a.tree'
	assert_ok
	tar2tree --sort layer.tar | grep -av '^#' | cmp - <(grep -av '^#' a.tree)
	for line in 'erofs2tree - <image | cmp - a.tree' 'cat image | erofs2tree - | cmp - a.tree' 'erofs2tree -o b.tree image; cmp a.tree b.tree' \
		'cat image | erofs2tree --tmpdir "$TMPDIR" -o - - | cmp - a.tree' 'erofs2tree <(cat image) | cmp - a.tree' \
		'GOMAXPROCS=1 erofs2tree image | cmp - a.tree' 'erofs2tree image | tree2erofs | cmp - image'; do
		run --separate-stderr bash -c "set -e; $line"
		assert_ok
		assert_output ''
	done
	assert_no_debris layer.tar image a.tree b.tree
}

@test "--no-data, --no-data=portable, --digest" {
	run --separate-stderr erofs2tree --no-data image
	assert_ok
	[[ $output == '#mtree ocipipe-tree 1 data=none'* && $output != *vm1* ]] || show "not data=none"
	[[ $output == *'./etc/hostname.orig '*'hardlink=./etc/hostname'* ]] || show "no hard link"
	run --separate-stderr erofs2tree --no-data --digest image
	assert_ok
	[[ $output == *"sha256digest=$(echo vm1 | sha256sum | cut -d' ' -f1)"* ]] || show "no digest"
	run --separate-stderr erofs2tree --no-data=portable image
	assert_ok
	[[ $output != *hardlink* && $output == *nlink=2* ]] || show "not portable"
}

@test "marks of a layer come back" {
	small_layer whole.tar
	mkdir -p d/sub
	touch d/.wh.gone d/sub/.wh..wh..opq d/sub/file new
	tar --no-recursion --mtime=@1 -cf marks.tar d/.wh.gone d/sub/.wh..wh..opq d/sub/file new
	tar2tree --sort marks.tar >want.tree
	run --separate-stderr bash -c 'tree2erofs --layer --quiet want.tree | erofs2tree - | grep -av "^#" | cmp - <(grep -av "^#" want.tree)'
	assert_ok
	[[ $(<want.tree) == *'./d/gone type=char '*'device=native,0,0'* ]] || fail "no whiteout in the test itself"
}

@test "an image of mkfs.erofs" {
	need mkfs.erofs
	tree_of_files
	mkfs.erofs -E^inline_data other tree >/dev/null 2>&1
	mkfs.erofs inline tree >/dev/null 2>&1
	mkfs.erofs --chunksize=65536 chunks tree >/dev/null 2>&1
	for file in other inline chunks; do
		run --separate-stderr bash -c "erofs2tree $file | tree2tar | tar -C tree --compare"
		assert_ok
		assert_output ''
		[ "$(listing $file | cut -d' ' -f1 | xargs)" = '. ./empty ./hole ./numbers ./sub ./sub/link ./sub/linked ./sub/short' ] || fail "$(listing $file)"
	done
}

@test "compressed images are read, alone and as layers, and damage is named" {
	need mkfs.erofs
	tree_of_files
	mkfs.erofs -zlz4 packed tree >/dev/null 2>&1 || skip_or_fail "mkfs.erofs has no lz4"
	mkfs.erofs -zlz4 -C65536 -Eztailpacking packed.big tree >/dev/null 2>&1
	[ "$(stat -c %s packed)" -lt "$(stat -c %s tree/numbers)" ] || fail "it is not compressed"
	for file in packed packed.big; do
		run --separate-stderr bash -c "erofs2tree $file | tree2tar | tar -C tree --compare"
		assert_ok
		assert_output ''
	done
	tar2tree --sort layer.tar | tree2erofs --layer -o top
	run --separate-stderr bash -c 'erofs2tree packed top | tree2tar | tar -x -O numbers | cmp - tree/numbers'
	assert_ok

	cp packed damaged # no stream begins in the first block of its cluster
	for block in 1 2 3 4 5 6 7 8; do
		head -c 4096 /dev/zero | dd of=damaged bs=4096 seek=$block conv=notrunc status=none
	done
	run --separate-stderr erofs2tree -o out damaged
	assert_error erofs2tree 1 'no stream in the first block of a cluster: corrupt EROFS image'
	[[ $stderr =~ ^'erofs2tree: damaged: '(hole|numbers): ]] || show "no file"
	run --separate-stderr bash -c 'erofs2tree damaged 2>/dev/null | tree2tar -o out'
	assert_error tree2tar 1 'corrupt EROFS image'
	assert_no_debris layer.tar image tree packed packed.big top damaged
}

@test "what is no EROFS image" {
	: >empty
	head -c 100000 /dev/zero >zeros
	for c in 'empty|the input is empty' 'zeros|no EROFS superblock' 'layer.tar|is a tar archive, not an EROFS image'; do
		run --separate-stderr erofs2tree -o out "${c%|*}"
		assert_error erofs2tree 1 "${c#*|}"
		run --separate-stderr bash -c "cat ${c%|*} | erofs2tree -"
		assert_aborted "${c#*|}"
	done
	run --separate-stderr erofs2tree -o out /dev/null
	assert_error erofs2tree 1 ''
	run --separate-stderr erofs2tree -o out .
	assert_error erofs2tree 1 'is a directory'
	assert_no_debris layer.tar image empty zeros
}

@test "truncated image" {
	size=$(stat -c %s image)
	echo before >out
	for n in 1 1023 1024 1151 1152 4095 50000 $((size - 4096)) $((size - 1)); do
		head -c "$n" image >short
		cause='cut short'
		[ "$n" -ge 1152 ] || cause='too few for a superblock'
		run --separate-stderr erofs2tree -o out short
		assert_error erofs2tree 1 "$cause"
		run --separate-stderr bash -c 'cat short | erofs2tree -'
		assert_aborted "$cause"
		run --separate-stderr bash -c 'erofs2tree short >fresh'
		assert_error erofs2tree 1 "$cause"
		assert_empty fresh
	done
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar image out short fresh
}

@test "corrupt image" {
	cp image bad
	printf '\377' | dd of=bad bs=1 seek=1070 conv=notrunc status=none
	run --separate-stderr erofs2tree -o out bad
	assert_error erofs2tree 1 'byte 1024: superblock has checksum'
	# Directories and inodes: the image is refused, or another tree comes out.
	failed=0
	for at in $(seq 4096 4096 "$(($(stat -c %s image) - 1))") $(seq 1152 8 1400); do
		cp image bad
		printf '\252\252\252' | dd of=bad bs=1 seek="$at" conv=notrunc status=none
		run --separate-stderr erofs2tree -o out bad
		case $status in
		0) rm out ;;
		*)
			assert_error erofs2tree 1 ''
			failed=$((failed + 1))
			;;
		esac
	done
	[ "$failed" -gt 3 ] || fail "only $failed noticed"
	assert_no_debris layer.tar image bad
}

@test "usage errors" {
	run --separate-stderr erofs2tree
	assert_error erofs2tree 2 'argument is missing: <image>'
	[[ $stderr == *'hint: see erofs2tree --help' ]] || show "no hint"
	for c in '--digest image|--digest needs --no-data' '--no-data=other image|--no-data=other: the forms are' \
		'--max-entries=0x image|--max-entries'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr erofs2tree ${c%|*}
		assert_error erofs2tree 2 "${c#*|}"
	done
	for line in 'erofs2tree -o image image' 'erofs2tree -o image - <image' 'erofs2tree image >>image' 'erofs2tree -o /proc/self/fd/0 - <image'; do
		cp image before
		run --separate-stderr bash -c "$line"
		assert_error erofs2tree 2 ': is input and output at once'
		cmp image before
	done
	assert_no_debris layer.tar image before
}

@test "missing input" {
	echo before >out
	run --separate-stderr erofs2tree -o out none
	assert_error erofs2tree 1 'none: open: no such file or directory'
	run --separate-stderr erofs2tree none
	assert_status 1
	[[ $output == *'#abort message=erofs2tree:'*none*'no\040such\040file\040or\040directory' ]] || show "no abort line"
	run --separate-stderr bash -c 'erofs2tree none 2>/dev/null | tree2tar -o out'
	assert_error tree2tar 1 'earlier stage failed: erofs2tree: '
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar image out
}

@test "limits name their flags" {
	for limit in --max-entries=2 --max-depth=1 --max-file-size=99999 --max-total-size=100003 --max-tree-memory=1000; do
		run --separate-stderr erofs2tree -o out $limit image
		assert_error erofs2tree 1 'over the limit of'
		[[ $stderr == *"erofs2tree: hint: ${limit%=*} raises the limit" ]] || show "no hint"
	done
	run --separate-stderr erofs2tree -o out --max-entries=7 --max-depth=2 --max-file-size=100000 --max-total-size=100004 image
	assert_ok
	assert_no_debris layer.tar image out
}

@test ">> adds, and keeps what was there" {
	erofs2tree image >want
	echo before >out
	run --separate-stderr bash -c 'erofs2tree image >>out'
	assert_ok
	(echo before && cat want) | cmp - out
	assert_no_debris layer.tar image want out
}

@test "/dev/full" {
	for flag in '' --no-data; do
		run --separate-stderr bash -c "erofs2tree $flag image >/dev/full"
		assert_error erofs2tree 1 'standard output: write: no space left on device'
	done
	assert_no_debris layer.tar image
}

@test "full disk" {
	need_root
	mkdir full
	mount -t tmpfs -o size=64k tmpfs full || skip_or_fail "mounting is not allowed here"
	echo before >full/out
	run --separate-stderr erofs2tree -o full/out image
	assert_error erofs2tree 1 'no space left on device'
	[ "$(<full/out)" = before ] || fail "the target was changed"
	rm full/out
	run --separate-stderr bash -c 'cat image | erofs2tree --tmpdir full -'
	assert_aborted 'no space left on device'
	run --separate-stderr bash -c 'erofs2tree image >full/out'
	assert_error erofs2tree 1 'no space left on device'
	assert_empty full/out
	[ "$(ls -A full)" = out ] || fail "debris: $(ls -A full)"
	umount full
	rmdir full
	assert_no_debris layer.tar image
}

@test "closed pipe" {
	head -c 3000000 /dev/urandom >random
	tar -cf - random | tar2tree | tree2erofs -o large
	run --separate-stderr bash -c 'erofs2tree large | head -c 100 >/dev/null; exit "${PIPESTATUS[0]}"'
	assert_status 141
	[ -z "$stderr" ] || show "standard error is not empty"
	assert_no_debris layer.tar image random large
}

@test "interrupt in the middle of an image from a pipe" {
	mkfifo "$BATS_TEST_TMPDIR/never"
	exec 7<>"$BATS_TEST_TMPDIR/never"
	for signal in INT TERM HUP; do
		echo before >kept
		head -c 50000 image >&7
		interrupted "$signal" erofs2tree -o kept -
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ "$(<kept)" = before ] || fail "the target was changed"
		[ -z "$stderr" ] || show "standard error is not empty"
	done
	exec 7>&-
	assert_no_debris layer.tar image kept
}

@test "target that cannot be written" {
	mkdir dir
	for target in none/out dir image/out; do
		run --separate-stderr erofs2tree -o "$target" image
		assert_error erofs2tree 1 "$target: "
	done
	run --separate-stderr bash -c 'cat image | erofs2tree --tmpdir none -o out -'
	assert_error erofs2tree 1 'make spool file: '
	assert_no_debris layer.tar image dir
}

@test "terminal" {
	on_terminal 'erofs2tree image'
	assert_status 2
	[[ $output == *'erofs2tree: standard output: is a terminal, and the data is binary'* ]] || show "another message"
	on_terminal 'erofs2tree --no-data image'
	assert_status 0
	[[ $output == *'./etc/hostname type=file'* ]] || show "no listing"
	on_terminal 'erofs2tree -o out -'
	[[ $output == *'standard input: is a terminal'* ]] || show "another message"
	assert_no_debris layer.tar image
}
