# Whole pipelines: the same bytes whatever is around them, and failures of one
# stage as the others see them. lib/reftest/interop compares what they make.

load helpers
load registries
setup() {
	common_setup
	export OCIPIPE_IMAGES=${OCIPIPE_IMAGES:-${XDG_CACHE_HOME:-$HOME/.cache}/ocipipe-images}
}
teardown() {
	stop_registries
	! mountpoint -q "$BATS_TEST_TMPDIR/full" || umount "$BATS_TEST_TMPDIR/full"
}

# image NAME sets $image to the layout that images.sh makes: oci:DIR:image.
image() {
	local dir status=0
	dir=$("$REPO/tests/shell/images.sh" "$1" 2>"$BATS_TEST_TMPDIR/why") || status=$?
	case $status in
	0) image=oci:$dir/oci:image ;;
	3) skip_or_fail "$(<"$BATS_TEST_TMPDIR/why")" ;;
	*) fail "$(<"$BATS_TEST_TMPDIR/why")" ;;
	esac
}

# slow_image serves image $ref of 60 MB in two layers, each connection at 1 MB/s.
slow_image() {
	registries_setup
	bad_registry -image r:v1=2x30000000
	ref=$reg/r:v1
	behave '{"Rate":1000000}'
}

# all_served is how many bytes of blobs went out.
all_served() { served '[.Blobs[].Bytes] | add // 0'; }

# silent_fifo makes $fifo, a pipe that this shell holds open and never writes to.
silent_fifo() {
	fifo=$BATS_TEST_TMPDIR/silent
	mkfifo "$fifo"
	exec 8<>"$fifo"
}

# filters are those that read standard input and write standard output.
filters=(tar2tree 'tar2tree --input layer' 'tar2tree --input image' tree2erofs 'tree2erofs --layer' tree2ext4 tree2tar
	'tree2tar -z gzip' 'mkext4upper --size 64M --tree -' 'erofs2tree -' 'ext42tree -' 'ext42tree --upper -' 'erofs-patch --lower -' 'wrap-vmdk --format raw'
	'wrap-vmdk --format stream' 'wrap-vmdk --format stream --size 64M' 'oci-fetch oci-archive:-' 'snapshot-pack inspect' 'oci-push localhost:1/r'
	'oci-commit --base scratch --platform linux/amd64 --layer -')

# medium sets $medium to a layer of 12 MB, which no pipe holds.
medium() {
	medium=$BATS_RUN_TMPDIR/medium.tar
	once medium go_medium
}
go_medium() {
	(cd "$REPO" && "${GO:-go}" run ./lib/reftest/bigtar medium) >"$BATS_RUN_TMPDIR/medium.tar"
}

# pipeline LINE runs it, and puts the exit codes of all stages into $statuses.
pipeline() {
	bash -c "$1"'; echo "${PIPESTATUS[*]}" >"$BATS_TEST_TMPDIR/statuses"' 2>"$BATS_TEST_TMPDIR/stderr"
	statuses=$(<"$BATS_TEST_TMPDIR/statuses")
	stderr=$(<"$BATS_TEST_TMPDIR/stderr")
}

# assert_statuses REGEX
assert_statuses() {
	[[ $statuses =~ ^($1)$ ]] || fail "statuses are $statuses, not $1" "$stderr"
}

# assert_says TOOL TEXT: one line of the tool, with the text.
assert_says() {
	local lines
	lines=$(grep "^$1: " <<<"$stderr" | grep -v "^$1: hint: ")
	[[ $lines != *$'\n'* && $lines == *"$2"* ]] || fail "not one line of $1 with: $2" "$stderr"
}

# assert_silent TOOL...
assert_silent() {
	local tool
	for tool in "$@"; do
		[[ $'\n'$stderr != *$'\n'"$tool: "* ]] || fail "$tool said something:" "$stderr"
	done
}

# full_disk mounts one of 64 KiB as $full.
full_disk() {
	need_root
	full=$BATS_TEST_TMPDIR/full
	mkdir "$full"
	mount -t tmpfs -o size=64k tmpfs "$full" || skip_or_fail "mounting is not allowed here"
}

# assert_no_superblock FILE: nobody can take it for an image.
assert_no_superblock() {
	[ "$(dd if="$1" bs=1 skip=1024 count=4 status=none | od -An -tx1 | tr -d ' ')" != e2e1f5e0 ] ||
		fail "$1 has a superblock"
}

# same LINE...: all print the same. The first is run once more.
same() {
	local line sum want
	want=$(bash -c "set -o pipefail; $1" | sha256sum)
	for line in "$@"; do
		sum=$(set -o pipefail && bash -c "set -o pipefail; $line" | sha256sum) || fail "failed: $line" || return
		[ "$sum" = "$want" ] || fail "other bytes: $line" || return
	done
	[ "$want" != "$(sha256sum </dev/null)" ] || fail "no output: $1"
}

@test "same bytes, whatever is around" {
	image busybox
	local elsewhere=$BATS_TEST_TMPDIR/elsewhere
	mkdir "$elsewhere"
	oci-fetch "$image" -o image.tar
	same "oci-fetch $image | tar2tree | tree2erofs" \
		"cd / && oci-fetch $image | tar2tree | tree2erofs" \
		"umask 077; oci-fetch $image | tar2tree | tree2erofs" \
		"export TZ=Asia/Kathmandu LC_ALL=C; oci-fetch $image | tar2tree | tree2erofs" \
		"export TMPDIR=$elsewhere; oci-fetch $image | tar2tree | tree2erofs" \
		"export GOMAXPROCS=1; oci-fetch $image | tar2tree | tree2erofs" \
		"export GOMAXPROCS=2; oci-fetch $image | tar2tree | tree2erofs" \
		"export GOGC=1; oci-fetch $image | tar2tree | tree2erofs" \
		"oci-fetch $image | tar2tree -j1 | tree2erofs" \
		"oci-fetch $image | tar2tree -j8 | tree2erofs" \
		"tar2tree image.tar | tree2erofs" \
		"tar2tree < image.tar | tree2erofs" \
		"cat image.tar | tar2tree | tree2erofs" \
		"oci-fetch oci-archive:$PWD/image.tar | tar2tree | tree2erofs" \
		"cat image.tar | oci-fetch oci-archive:- | tar2tree | tree2erofs" \
		"tar2tree -o t image.tar && tree2erofs t" \
		"tar2tree image.tar | tree2erofs -o e && cat e" \
		"tar2tree image.tar | tree2erofs > f && cat f" \
		"tar2tree image.tar | tree2erofs --check" \
		'oci-materialize --cache c --target flat --print flat oci-archive:image.tar > p; cat "$(<p)"' \
		'oci-cache --cache c prune --quiet --max-size 0 -o p; oci-materialize --cache c --target flat --print flat oci-archive:image.tar > p; cat "$(<p)"' \
		"tar2tree image.tar | tree2erofs | erofs2tree - | tree2erofs" \
		"tar2tree image.tar | tree2tar | tar2tree --sort | tree2erofs"
	rm -r t e f p c image.tar
	assert_no_debris
	[ -z "$(ls -A "$elsewhere")" ] || fail "debris in another TMPDIR"
}

@test "same archives, streams and layers, whatever is around" {
	image busybox
	same "oci-fetch $image" "cd / && TZ=Asia/Kathmandu oci-fetch $image" "oci-fetch $image | oci-fetch oci-archive:-" \
		"umask 077; GOMAXPROCS=1 oci-fetch $image"
	local line='tar2tree | tree2tar -z gzip'
	same "oci-fetch $image | $line" "export GOMAXPROCS=1; oci-fetch $image | $line" "umask 077; oci-fetch $image | $line"
	line='tar2tree | tree2tar -z zstd'
	same "oci-fetch $image | $line" "export GOMAXPROCS=1; oci-fetch $image | $line"
	line='tar2tree | tree2erofs --layer'
	same "oci-fetch $image --layer 1 | $line --quiet" "export GOMAXPROCS=1; oci-fetch $image --layer 1 | $line --quiet" \
		"oci-fetch $image --layer 1 | zcat | $line --quiet" "oci-fetch $image --layer 1 | zcat | zstd | $line --quiet"
}

@test "same bytes of a larger image" {
	image debian
	same "oci-fetch $image | tar2tree -j1 | GOMAXPROCS=1 tree2erofs" \
		"oci-fetch $image | GOMAXPROCS=1 tar2tree -j8 | tree2erofs"
}

@test "cut archive: all stages fail, each says why" {
	image busybox
	pipeline "oci-fetch $image | head -c 1000000 | tar2tree | tree2erofs > out"
	assert_statuses '(0|141) 0 1 1'
	assert_says tar2tree 'archive is cut short at byte 1000000'
	assert_says tree2erofs 'earlier stage failed: tar2tree: '
	assert_silent oci-fetch
	assert_empty out
	assert_no_debris out
}

@test "cut layer: everywhere" {
	medium
	gzip -1 <"$medium" >medium.gz
	local size file
	for file in "$medium" medium.gz; do
		for size in 0 1 511 600 1000000 9000001; do
			pipeline "head -c $size $file | tar2tree | tree2erofs > out"
			assert_statuses '0 1 1'
			assert_says tar2tree "$([ "$size" = 0 ] && echo 'the input is empty' || echo 'cut short')"
			assert_says tree2erofs 'earlier stage failed: tar2tree: '
			assert_empty out
		done
	done
	assert_no_debris out medium.gz
}

@test "cut stream: the reader says where" {
	medium
	local size tool
	for size in 0 40 1000000 9000001; do
		for tool in tree2erofs tree2tar; do
			echo old >target
			pipeline "tar2tree $medium | head -c $size | $tool -o target"
			assert_statuses '(0|141) 0 1'
			[ "$size" = 0 ] || assert_says "$tool" "tree stream is cut short at byte $size"
			[ "$size" != 0 ] || assert_says "$tool" 'input is empty'
			assert_silent tar2tree
			[ "$(<target)" = old ]
			pipeline "tar2tree $medium | head -c $size | $tool > out"
			[ "$tool" = tree2tar ] || assert_empty out
		done
	done
	assert_no_debris out target
}

@test "cut image: erofs2tree tells the next stage" {
	medium
	pipeline "tar2tree $medium | tree2erofs | head -c 5000000 | erofs2tree - | tree2tar -o out.tar"
	assert_statuses '0 (0|141) 0 1 1'
	assert_says tree2tar 'earlier stage failed: erofs2tree: '
	assert_silent tree2erofs
	assert_no_debris
}

@test "one bit wrong in a compressed layer" {
	medium
	gzip -1 <"$medium" >bad.gz
	printf '\377\0\377\0' | dd of=bad.gz bs=1 seek=5000000 conv=notrunc status=none
	pipeline "tar2tree bad.gz | tree2erofs -o out.erofs"
	assert_statuses '1 1'
	assert_says tree2erofs 'earlier stage failed: tar2tree: '
	assert_no_debris bad.gz
}

@test "wrong digest of a blob, found on the way" {
	image busybox
	local dir=${image#oci:} blob
	cp -r "${dir%:image}" layout
	blob=$(find layout/blobs -size +100k | head -n 1)
	printf '\377\0' | dd of="$blob" bs=1 seek=600000 conv=notrunc status=none
	pipeline "oci-fetch oci:layout:image | tar2tree | tree2erofs -o out.erofs"
	assert_statuses '1 1 1'
	assert_says oci-fetch 'sha256:'
	assert_says tree2erofs 'earlier stage failed: tar2tree: '
	assert_no_debris layout
	pipeline "tar2tree layout | tree2erofs > out.erofs"
	assert_statuses '1 1'
	assert_empty out.erofs
}

@test "wrong diff-id, known only at the end" {
	medium
	pipeline "tar2tree --diff-id sha256:$(printf '0%.0s' {1..64}) $medium | tree2erofs > out"
	assert_statuses '1 1'
	assert_says tar2tree 'diff-id is sha256:'
	assert_says tree2erofs "earlier stage failed: tar2tree: $medium: corrupt layer: diff-id"
	assert_empty out
}

@test "image that is not there: every stage fails" {
	echo old >target
	pipeline "oci-fetch oci:nowhere:image | tar2tree | tree2erofs -o target"
	assert_statuses '1 1 1'
	assert_says oci-fetch 'nowhere'
	assert_says tree2erofs 'earlier stage failed: tar2tree: '
	[ "$(<target)" = old ]
	assert_no_debris target
}

@test "/dev/full as the end: earlier stages are quiet" {
	image busybox
	pipeline "oci-fetch $image | tar2tree | tree2erofs > /dev/full"
	assert_statuses '0 0 1'
	assert_says tree2erofs 'no space left on device'
	assert_silent oci-fetch tar2tree
	pipeline "oci-fetch $image | tar2tree | tree2tar > /dev/full"
	assert_statuses '(0|141) (0|141) 1'
	assert_says tree2tar 'no space left on device'
	assert_silent oci-fetch tar2tree
	assert_no_debris
}

@test "target that cannot be written" {
	medium
	pipeline "tar2tree $medium | tree2erofs -o nowhere/out"
	assert_statuses '141 1'
	assert_says tree2erofs 'nowhere/out'
	assert_silent tar2tree
	mkdir dir
	pipeline "tar2tree $medium | tree2erofs -o dir"
	assert_statuses '141 1'
	assert_says tree2erofs 'dir'
	assert_no_debris dir
}

@test "reader that has enough ends the pipeline without a word" {
	medium
	pipeline "tar2tree $medium | tree2tar | head -c 1000 > out"
	assert_statuses '141 141 0'
	[ -z "$stderr" ] || fail "$stderr"
	pipeline "tar2tree $medium | tree2erofs | head -c 1000 > out"
	assert_statuses '0 141 0'
	[ -z "$stderr" ] || fail "$stderr"
	assert_no_debris out
}

@test "reader that has left ends a tool that waits for input" {
	silent_fifo
	local tool
	for tool in "${filters[@]}"; do
		pipeline "timeout 100 $tool <$fifo 8<&- | false"
		assert_statuses '141 1' || return
		[ -z "$stderr" ] || fail "$tool says: $stderr" || return
	done
	exec 8<&-
	assert_no_debris
}

@test "reader that has left does not matter to -o FILE, nor a file to the end" {
	medium
	pipeline "(sleep 1; cat $medium) | tar2tree -o out | false"
	assert_statuses '0 0 1'
	tar2tree "$medium" | cmp - out
	pipeline "(sleep 1; cat out) | tree2erofs >/dev/null"
	assert_statuses '0 0'
	pipeline "(sleep 1; cat out) | tree2erofs >image"
	assert_statuses '0 0'
	tree2erofs <out | cmp - image
	assert_no_debris out image
}

@test "last stage has failed: the first does not download to the end" {
	slow_image
	local middle cache bytes
	for cache in --no-cache '--cache cache'; do
		for middle in '' '| tar2tree' '| tar2tree | tree2erofs' '| tar2tree | tree2ext4' '| tar2tree | tree2tar' '| tar2tree --input image --layer 0 | mkext4upper --tree - --size 256M'; do
			behave '{"Rate":1000000}'
			rm -rf cache
			pipeline "oci-fetch $cache $ref $middle | (sleep 0.5; false)"
			assert_statuses '(141 )+1' || return
			[ -z "$stderr" ] || fail "$stderr" || return
			bytes=$(all_served)
			[ "$bytes" -lt 40000000 ] || fail "$bytes bytes were served to oci-fetch $cache $ref $middle" || return
			[ "$cache" != --no-cache ] || continue
			[ -n "$(find cache/tmp -name '*.part' -size +100k)" ] || fail "nothing stayed in the cache" || return
		done
	done
	behave '{}'
	oci-fetch --cache cache "$ref" >out
	bytes=$(all_served)
	[ "$bytes" -lt 60000000 ] || fail "what had come was fetched again: $bytes bytes"
	tar2tree --input image --no-data out >/dev/null
}

@test "error while standard input is silent: nobody waits for that" {
	silent_fifo
	medium
	local pid status
	head -c 1000000 "$medium" >bad.tar
	mkfifo nobody
	run --separate-stderr timeout 100 tar2tree --input layer - bad.tar <"$fifo" 8<&-
	assert_status 1
	[[ $stderr == "tar2tree: bad.tar: "*"layer is cut short"* ]] || show "another error"
	run --separate-stderr timeout 100 tar2tree --input layer -j4 nobody "$medium" bad.tar nobody 8<&-
	assert_status 1
	[[ $stderr == "tar2tree: bad.tar: "*"layer is cut short"* ]] || show "another error"
	exec 8<&-
	mkfifo half
	timeout 100 tar2tree <half >/dev/full 2>err 3>&- &
	pid=$!
	exec 8>half
	head -c 6000000 "$medium" >&8 2>/dev/null || true
	status=0
	wait "$pid" || status=$?
	exec 8>&-
	[ "$status" = 1 ] || fail "tar2tree ended with $status"
	grep -q 'no space left on device' err
	rm err half nobody
	assert_no_debris bad.tar
}

@test "full disk as the target" {
	full_disk
	image busybox
	echo old >"$full/out"
	pipeline "oci-fetch $image | tar2tree | tree2erofs -o $full/out"
	assert_statuses '(0|141) (0|141) 1'
	assert_says tree2erofs 'no space left on device'
	assert_silent oci-fetch tar2tree
	[ "$(<"$full/out")" = old ]
	[ "$(ls -A "$full")" = out ] || fail "debris: $(ls -A "$full")"
	pipeline "oci-fetch $image | tar2tree | tree2erofs > $full/out"
	assert_statuses '(0|141) (0|141) 1'
	assert_empty "$full/out"
	rm "$full/out"
	pipeline "oci-fetch $image | tar2tree -o $full/out"
	assert_statuses '(0|141) 1'
	[ -z "$(ls -A "$full")" ] || fail "debris: $(ls -A "$full")"
}

@test "full disk for spool files" {
	full_disk
	image busybox
	medium
	export TMPDIR=$full
	pipeline "oci-fetch $image | tar2tree | tree2erofs > out"
	assert_statuses '(0|141) 1 1'
	assert_says tar2tree 'no space left on device'
	assert_says tree2erofs 'earlier stage failed: tar2tree: '
	assert_empty out
	rm out
	pipeline "tar2tree $medium | tree2erofs | cat > out"
	assert_statuses '(0|141) 1 0'
	assert_says tree2erofs 'no space left on device'
	assert_empty out
	[ -z "$(ls -A "$full")" ] || fail "debris: $(ls -A "$full")"
}

# midway SIGNAL VICTIM OUTPUT: runs tar2tree | tree2erofs OUTPUT, and kills the
# victim when half of the layer has gone in.
midway() {
	local victim
	medium
	mkfifo "$BATS_TEST_TMPDIR/half"
	stage() {
		bash -c 'echo $$ >"$0.pid"; exec "$@"' "$BATS_TEST_TMPDIR/$1" "$@"
	}
	export -f stage
	bash -c "stage tar2tree | stage tree2erofs $3; "'echo "${PIPESTATUS[*]}" >"$BATS_TEST_TMPDIR/statuses"' \
		<"$BATS_TEST_TMPDIR/half" 2>"$BATS_TEST_TMPDIR/stderr" 3>&- &
	exec 8>"$BATS_TEST_TMPDIR/half"
	head -c 6000000 "$medium" >&8
	sleep 0.2
	victim=$(<"$BATS_TEST_TMPDIR/$2.pid")
	kill -s "$1" "$victim"
	sleep 0.1
	exec 8>&-
	wait $!
	statuses=$(<"$BATS_TEST_TMPDIR/statuses")
	stderr=$(grep -v ' Killed \| Terminated ' "$BATS_TEST_TMPDIR/stderr") || true
	rm "$BATS_TEST_TMPDIR/half"
}

@test "tar2tree is killed: tree2erofs fails, and leaves nothing" {
	local signal
	for signal in KILL TERM; do
		echo old >target
		midway "$signal" tar2tree '-o target'
		assert_statuses "$((128 + $(kill -l "$signal"))) 1"
		assert_says tree2erofs 'tree stream is cut short at byte'
		assert_silent tar2tree
		[ "$(<target)" = old ]
		midway "$signal" tar2tree '> out'
		assert_empty out
		assert_no_debris target out
	done
}

@test "tree2erofs is killed: no image, and tar2tree is quiet" {
	local signal
	for signal in KILL TERM; do
		echo old >target
		midway "$signal" tree2erofs '-o target'
		assert_statuses "(1|141) $((128 + $(kill -l "$signal")))"
		[ "$(<target)" = old ]
		assert_no_debris target
		midway "$signal" tree2erofs '> target'
		assert_no_superblock target
		[ "$signal" = KILL ] || assert_empty target
		assert_no_debris target
	done
}

@test "the assertions here tell apart" {
	statuses='0 1' stderr=$'a: one\nb: two\nb: hint: three'
	refused() { if ("$@") 2>/dev/null; then fail "accepted: $*"; fi; }
	assert_statuses '(0|141) 1'
	refused assert_statuses '0 0'
	refused assert_statuses '0'
	assert_says b two
	refused assert_says b one
	assert_silent c
	refused assert_silent a
	refused assert_silent b
	same 'echo x' 'printf "x\n"'
	refused same 'echo x' 'echo y'
	refused same 'date +%N'
	refused same true
	refused same 'echo x' 'echo x; false'
	refused same 'echo x' 'echo x | false | cat'
	{ head -c 1024 /dev/zero && printf '\xe2\xe1\xf5\xe0'; } >f
	refused assert_no_superblock f
}
