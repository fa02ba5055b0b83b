# The guide for stages in other languages: its commands as they stand there, hostile names,
# hard links, and streams that are cut short.

load helpers
setup() {
	common_setup
	need python3
	guide=$REPO/tests/shell/guides/filters
	cp "$guide"/*.{py,sh,awk} .
}

# hostile DIR makes a tree with odd names and contents, and DIR.tree of it.
hostile() {
	mkdir -p "$1/usr/share/doc/"$'a b\n#\\' "$1/usr/share/man" "$1/usr/share/documents" "$1/usr/share/locale" "$1/bin" "$1/odd"
	printf './x type=file mode=0644 uid=0 gid=0 time=0.000000000 size=0\n#end records=1 bytes=0\n' >"$1/usr/share/doc/record"
	cp "$1/usr/share/doc/record" "$1/odd/record"
	printf '#abort message=no\n' >"$1/odd/abort"
	head -c 100000 /dev/urandom >"$1/odd/"$'\xff*?[=\n\x01'
	cp "$1/odd/"$'\xff'* "$1/usr/share/doc/"$'a b\n#\\'/x
	echo same >"$1/usr/share/documents/stays"
	: >"$1/usr/share/doc/empty"
	ln -s ../usr/share/doc/record "$1/bin/symlink"
	tar -C "$1" --sort=name --mtime=@1700000000 --owner=0 --group=0 -cf "$1.tar" .
	tar2tree --sort "$1.tar" >"$1.tree"
}

@test "the commands of the guide" {
	need busybox
	demo_image image
	cp "$(command -v busybox)" init
	echo vm1 >hostname
	recipe "$guide/README.md" >script
	[ "$(wc -l <script)" -ge 7 ] || fail "the guide has other commands"
	run --separate-stderr bash -euo pipefail script
	assert_ok
	clean small.ext4
	[ "$(erofs2tree --no-data --digest scratch.erofs | grep -c "size=$(stat -c %s init).*$(sha256sum init | cut -c 1-64)")" = 1 ] || fail "not the program"
	[ "$(erofs2tree --no-data scratch.erofs | sed -n 's/^\([^ ]*\) type=\([^ ]*\) mode=\([^ ]*\).*/\1 \2 \3/p' | xargs)" = \
		'. dir 0755 ./etc dir 0755 ./etc/hostname file 0644 ./sbin dir 0755 ./sbin/init file 0755' ] || fail "another tree"
}

@test "hostile names and contents pass through, or are dropped" {
	hostile in
	run --separate-stderr bash -c './drop-docs.py <in.tree | tree2erofs --require-crc -o out.erofs'
	assert_ok
	rm -r in/usr/share/{doc,man,locale}
	tar -C in --sort=name --mtime=@1700000000 --owner=0 --group=0 -cf want.tar .
	tar2tree want.tar | tree2erofs -o want.erofs
	cmp out.erofs want.erofs
	# A name that is escaped without need is the same name.
	sed 's|^\./usr/share/doc/record|./usr/share/\\144oc/record|' in.tree | sed 's/ crc32=.*//' >escaped.tree
	run --separate-stderr bash -c './drop-docs.py <escaped.tree | tree2erofs -o out.erofs'
	assert_ok
	cmp out.erofs want.erofs
	# The list: dropped in the same way, and listed byte by byte.
	erofs2tree --no-data --digest want.erofs | awk -f listing.awk >want.list
	tar2tree --sort --no-data --digest in.tar | ./drop-docs.py | awk -f listing.awk >list
	diff want.list list
	[ "$(grep -c . list)" = 11 ] || fail "not all files: $(<list)"
}

@test "the source takes any name and any content" {
	printf 'a\0b\n\n#end records=1' >content
	: >empty
	name=$' \\#*?[=\n\xff\x7f\n'
	run --separate-stderr bash -c './scratch.sh "$1" content a/b empty /c ./content | tee tree | tree2tar >out.tar' - "$name"
	assert_ok
	mkdir out
	tar -C out -xf out.tar
	cmp "out/$name" content
	cmp out/c content
	assert_empty out/a/b
	SOURCE_DATE_EPOCH=1700000000 ./scratch.sh a empty | grep -q '^./[^ ]* type=file mode=0644 uid=0 gid=0 time=1700000000.000000000 size=0$' || fail "another time"
	run --separate-stderr bash -c './scratch.sh ok content a missing | tree2tar >out.tar'
	assert_status 1
	[[ $stderr == *'scratch.sh: missing: no such file'*'tree2tar: '*'scratch.sh: missing: no such file'* ]] || show "the cause is lost"
	assert_empty out.tar
	for path in ../x a//b . '' "$(printf %0300d 1)"; do
		run --separate-stderr bash -c './scratch.sh "$1" content 2>/dev/null | tree2tar >out.tar' - "$path"
		assert_status 1
		assert_empty out.tar
	done
	for args in '' 'a' 'a empty b'; do
		run --separate-stderr bash -c "./scratch.sh $args"
		assert_status 2
		[ -z "$output" ] || show "a stream all the same"
	done
	run --separate-stderr bash -c 'head -c 1000000 /dev/zero >big; ./scratch.sh a big b big c big | head -c 10 >/dev/null; exit ${PIPESTATUS[0]}'
	[ "$status" != 0 ] || show "a write that failed is no failure"
	[ -z "$(ls "$TMPDIR")" ] || fail "a file is left: $(ls "$TMPDIR")"
}

# stream RECORDS NUMBER BYTES: a stream of them.
stream() { printf '#mtree ocipipe-tree 1 data=inline\n%s\n#end records=%s bytes=%s\n' "$1" "$2" "$3"; }
words='mode=0644 uid=0 gid=0 time=0.000000000'

# after: what is in an image of the stream in, once drop-docs.py has dropped ./doc.
after() {
	run --separate-stderr bash -c './drop-docs.py doc <in | tree2erofs -o out.erofs && erofs2tree --no-data --digest out.erofs | grep -v "^#" | cut -d " " -f 1,2,7-'
}

@test "a hard link takes over the content of a file that is dropped" {
	sum=$(printf 'text\n' | sha256sum | cut -c 1-64)
	for type in "type=file $words size=5 xattr.user.a=YQ==" "type=file $words size=9 extents=2+5"; do
		stream "./doc/a $type"$'\n'"text"$'\n\n'"./doc/b $type hardlink=./doc/a"$'\n'"./z/c $type hardlink=./doc/b"$'\n'"./z/d $type hardlink=./doc/a"$'\n'"./doc/e $type hardlink=./z/c"$'\n'"./z/f $type hardlink=./doc/e" 6 5 >in
		after
		assert_ok
		links=$(grep -c hardlink=./z/c <<<"$output")
		[[ $links = 2 && $output != *./doc* ]] || show "torn apart"
		[[ $type == *extents* || $output == *"$sum"* ]] || show "another content"
	done
	# The name that took it over is replaced: the next one is the file again, or a name of another.
	f="type=file $words size=5"
	stream "./doc/a $f"$'\n'"text"$'\n\n'"./b $f hardlink=./doc/a"$'\n'"./c $f hardlink=./b"$'\n'"./b type=dir $words"$'\n'"./d $f hardlink=./doc/a" 5 5 >in
	after
	assert_ok
	[ "$(grep -c "sha256digest=$sum" <<<"$output")" = 2 ] || show "the content is lost"
	# Only names that were dropped led to what was replaced.
	stream "./a $f"$'\n'"text"$'\n\n'"./doc/b $f hardlink=./a"$'\n'"./a type=dir $words"$'\n'"./c $f hardlink=./doc/b" 4 5 >in
	run --separate-stderr bash -c './drop-docs.py doc <in | tree2tar >out.tar'
	assert_status 1
	[[ $stderr == *'drop-docs.py: hard link to ./doc/b, of which no other name is left'* ]] || show "other message"
	# A link to a layer below is one wherever it stands.
	f="type=file $words size=0"
	stream "./doc/a $f hardlink=./bin/x lower"$'\n'"./b $f hardlink=./doc/a" 2 0 >in
	run --separate-stderr bash -c './drop-docs.py doc <in | grep -a "^\./"'
	assert_ok
	assert_output "./b $f hardlink=./bin/x lower"
	stream "./b $f hardlink=./doc/none" 1 0 >in
	run --separate-stderr bash -c './drop-docs.py doc <in | tree2tar >out.tar'
	assert_status 1
	[[ $stderr == *'drop-docs.py: hard link to ./doc/none, which does not exist'* ]] || show "other message"
}

@test "many hard links into what is dropped cost as much each as few" {
	seq 40000 | awk -v words="type=file $words size=0" '{ print "./doc/" $1, words; print "./z" $1, words, "hardlink=./doc/" $1 }' >records
	stream "$(<records)" 80000 0 >in
	run --separate-stderr bash -c 'ulimit -t 30; exec ./drop-docs.py doc <in' # seconds of a processor
	assert_ok
	[ "$(tail -n 1 <<<"$output" | cut -d ' ' -f 1-3)" = '#end records=40000 bytes=0' ] || fail "it is not whole"
}

@test "what is cut short is never taken for a shorter stream" {
	seed=${SEED:-$(date +%s)}
	echo "seed: $seed"
	RANDOM=$seed
	hostile in
	tar2tree --sort --no-data --digest in.tar >in.list
	size=$(stat -c %s in.tree)
	list=$(stat -c %s in.list)
	for cut in 0 1 34 35 $((size - 1)) $((size - 16)) {1..12}; do
		((cut > 0 && cut < 13 && cut != 1)) && cut=$((RANDOM * 32768 + RANDOM))
		head -c $((cut % size)) in.tree >part
		run --separate-stderr bash -c './drop-docs.py <part >out.tree'
		[ "$status" = 1 ] || show "cut at $((cut % size)): accepted"
		run --separate-stderr tree2tar -o out.tar out.tree
		assert_error tree2tar 1 'drop-docs.py: '
	done
	for cut in 0 1 34 35 $(seq $((list - 45)) $((list - 2))) {1..12}; do
		((cut > 0 && cut < 13 && cut != 1)) && cut=$(((RANDOM * 32768 + RANDOM) % (list - 45)))
		((cut != list - 16)) || continue # all that may be left out is gone
		head -c "$cut" in.list >part
		run --separate-stderr awk -f listing.awk part
		[[ $status = 1 && -z $output && $stderr == 'listing.awk: line '* ]] || show "cut at $cut of $list: accepted"
	done
	# Nor is one whose records are gone, or one with more behind its end.
	grep -a -v '^\./bin/symlink ' in.list >short
	cat in.list in.list >twice
	cat in.list <(grep -a '^\./bin ' in.list) >behind
	for file in short twice behind in.tree; do
		run --separate-stderr awk -f listing.awk "$file"
		[[ $status = 1 && -z $output ]] || show "$file: accepted"
	done
	for bad in 's/^\(\.\/bin\/symlink\) type=link/\1/' 's/type=file/type/' 's/size=/size=+/' 's/^\.\/bin /bin /' '$s/records=/records=1/'; do
		sed "$bad" in.tree | sed 's/ crc32=.*//' >broken
		run --separate-stderr bash -c './drop-docs.py <broken >out.tree'
		[ "$status" = 1 ] || show "$bad: accepted"
		[[ $stderr == 'drop-docs.py: '* && $stderr != *Traceback* ]] || show "not one line"
	done
}
