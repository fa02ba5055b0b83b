# The tree stream between our tools and programs of others: filters written from
# lib/tree/FORMAT.md, and the readers of mtree(5).

load helpers
setup() {
	common_setup
	docs=$REPO/tests/shell/guides/filters/drop-docs.py
}

# real_tree DIR fills DIR with every type of file, odd names, holes, links, xattrs
# and old and new times, and makes DIR.tar of it.
real_tree() {
	need_root
	need setfattr python3
	mkdir -p "$1/usr/share/doc/pkg" "$1/etc" "$1/dev" "$1/empty"
	echo manual >"$1/usr/share/doc/pkg/README"
	echo other >"$1/usr/share/docs"
	echo vm1 >"$1/etc/hostname"
	ln "$1/etc/hostname" "$1/etc/hostname.orig"
	printf 'odd' >"$1/etc/"$'sp ace\\#*?[=\n\xe9'
	ln -s 'a=b\c #' "$1/etc/link"
	mknod "$1/dev/null" c 1 3
	mknod "$1/dev/big" b 300 70000
	mkfifo "$1/dev/fifo"
	printf 'data' | dd of="$1/sparse" bs=1 seek=1000000 2>/dev/null
	truncate -s 5000000 "$1/sparse"
	truncate -s 100000 "$1/hollow"
	setfattr -n user.note -v hello "$1/etc/hostname"
	setfattr -n trusted.note -v 'a b' "$1/etc"
	touch "$1/su"
	chmod 4755 "$1/su"
	touch "$1/none"
	chmod 0 "$1/none"
	touch "$1/some"
	chmod 7 "$1/some"
	chown 70000:4000000000 "$1/some"
	touch -d '1960-01-01' "$1/su" # GNU tar misreads fractions before 1970
	touch -d '2200-01-01 00:00:00.123456789' "$1/etc"
	tar -C "$1" --xattrs --xattrs-include='*' --sparse --format=pax --sort=name -cf "$1.tar" .
}

@test "tar2tree reads what tar wrote, and the stream is canonical both ways" {
	real_tree in
	run --separate-stderr bash -c 'tar2tree --sort in.tar >a && tree2erofs <a >e && erofs2tree e >b'
	assert_ok
	grep -av '^#' a >a.records
	grep -av '^#' b >b.records
	cmp a.records b.records
}

@test "a filter in Python drops a directory and passes the rest on byte by byte" {
	real_tree in
	tar2tree --sort in.tar >a
	run --separate-stderr bash -c "'$docs' <a >b"
	assert_ok
	# By hand: the two directories and the file are gone, and the properties.
	python3 - <<-'EOF'
		import re
		a, b = open("a", "rb").read(), open("b", "rb").read()
		a, end = a[:a.rindex(b"#end ")], b[b.rindex(b"#end "):]
		a = re.sub(rb"(?m)^#:.*\n", b"", a)
		a = re.sub(rb"(?m)^\./usr/share/doc .*\n\./usr/share/doc/pkg .*\n\./usr/share/doc/pkg/README .*\nmanual\n\n", b"", a)
		assert a == b[:b.rindex(b"#end ")]
		assert b"./usr/share/docs" in b and b"extents=-" in b and b"hardlink=./etc/hostname" in b
		assert re.match(rb"#end records=\d+ bytes=\d+ crc32=[0-9a-f]{8}\n\Z", end)
	EOF
	run --separate-stderr bash -c "tar2tree in.tar | '$docs' | tree2erofs --require-crc | erofs2tree - | '$docs' | tree2tar >out.tar"
	assert_ok
	mkdir out
	tar -C out --xattrs --xattrs-include='*' -xf out.tar
	[ ! -e out/usr/share/doc ] || fail "the directory is still there"
	rm -r in/usr/share/doc
	touch -r out/usr/share in/usr/share
	diff <(cd in && find . -type f -exec sha256sum {} + | sort) <(cd out && find . -type f -exec sha256sum {} + | sort)
	diff <(cd in && find . -printf '%P %y %m %U %G %T@ %l\n' | sort) <(cd out && find . -printf '%P %y %m %U %G %T@ %l\n' | sort)
}

@test "a filter may leave the CRC out, unless --require-crc insists" {
	small_layer in.tar
	run --separate-stderr bash -c "tar2tree in.tar | '$docs' --no-crc | tree2tar | tar -tf - | wc -l"
	assert_ok
	assert_output "$(tar -tf in.tar | wc -l)"
	run --separate-stderr bash -c "tar2tree in.tar | '$docs' --no-crc | tree2tar --require-crc >out.tar"
	assert_error tree2tar 1 'end line has no CRC'
	assert_empty out.tar
}

@test "a filter passes an upstream failure on, and adds its own" {
	small_layer in.tar
	head -c 50000 in.tar >cut.tar
	run --separate-stderr bash -c "tar2tree cut.tar 2>first | '$docs' 2>second | tree2tar >out.tar"
	assert_status 1
	[[ $(<first) == "tar2tree: "* ]] || fail "tar2tree says: $(<first)"
	cause=$(<first)
	[[ $stderr == *"${cause#tar2tree: }"* && $stderr == *tar2tree:* ]] || show "the cause is lost"
	[[ $(<second) == *"${cause#tar2tree: }"* ]] || fail "the filter says: $(<second)"
	assert_empty out.tar

	tar2tree in.tar >stream
	head -c 300 stream >part
	run --separate-stderr bash -c "'$docs' <part 2>/dev/null | tree2tar >out.tar"
	assert_error tree2tar 1 'drop-docs.py: stream is cut short'
	sed 's/x\(x*\)$/y\1/' stream >flipped
	run --separate-stderr bash -c "'$docs' <flipped 2>/dev/null | tree2tar >out.tar"
	assert_error tree2tar 1 'drop-docs.py: wrong CRC-32'
	run --separate-stderr bash -c "'$docs' --no-crc <stream | sed '/^#end/d' | tree2tar >out.tar"
	assert_error tree2tar 1 'cut short'
	assert_empty out.tar
}

# lists FORM writes the list of in.tar as tar2tree and as erofs2tree have it.
lists() {
	tar2tree --sort "$1" --digest in.tar >list.tar2tree
	tar2tree in.tar | tree2erofs >e
	erofs2tree "$1" --digest e >list.erofs2tree
}

# spoil LIST SCRIPT: LIST with something wrong, as sed's SCRIPT says, in bad.
spoil() {
	sed "$2" "$1" >bad
	! cmp -s "$1" bad || fail "sed changed nothing: $2"
}

# wrong: one wrong answer for each word that a list is checked by.
wrong=(
	's/size=4 /size=5 /' 's/mode=04755/mode=0755/' 's/mode=07 /mode=06 /' 's/uid=70000/uid=70001/'
	's/gid=4000000000/gid=4000000001/' 's/time=-315619200.0/time=-315619199.0/' 's/link=a/link=b/'
	's/type=fifo/type=socket/' 's/\(sha256digest=\)./\1z/' 's/^\.\/empty /.\/missing /'
)

@test "NetBSD's mtree checks an unpacked tree with --no-data=portable" {
	need mtree
	real_tree in
	lists --no-data=portable
	for list in list.tar2tree list.erofs2tree; do
		run --separate-stderr mtree -p in -f $list
		assert_ok
		assert_output ''
	done
	for script in "${wrong[@]}" 's/device=native,1,3/device=native,1,5/' 's/nlink=2/nlink=3/' '/^\.\/none/d'; do
		spoil list.tar2tree "$script"
		run --separate-stderr mtree -p in -f bad
		[[ $status -ne 0 || -n $output ]] || show "nothing found: $script"
	done
}

@test "bsdtar reads --no-data=portable, and archives the files that it names" {
	need bsdtar
	real_tree in
	lists --no-data=portable
	for list in list.tar2tree list.erofs2tree; do
		run --separate-stderr bsdtar -tvf $list
		assert_ok
		[[ $output == *'etc/link -> a=b\\c #'* && $output == *'300,70000'* && $output == *' 1960 '* ]] || show "not what is in the tree"
		[ "$(wc -l <<<"$output")" -eq "$(grep -c '^\.' $list)" ] || show "other names"
		# In the tree, the archive is complete; tar compares all but sparseness.
		(cd in && bsdtar --format=pax --options=hdrcharset=BINARY -cf ../again.tar @../$list)
		run --separate-stderr tar --warning=no-unknown-keyword -C in -df again.tar
		assert_ok
		assert_output ''
	done
	spoil list.tar2tree 's/mode=04755/mode=0755/'
	(cd in && bsdtar --format=pax --options=hdrcharset=BINARY -cf ../again.tar @../bad)
	run --separate-stderr tar -C in -df again.tar
	[[ $output == *'./su: Mode differs'* ]] || show "tar did not find the wrong mode"
}

@test "gomtree checks an unpacked tree with --no-data" {
	need gomtree
	real_tree in
	lists --no-data
	for list in list.tar2tree list.erofs2tree; do
		run --separate-stderr bash -c "gomtree -p in -K sha256digest,xattr <$list"
		assert_ok
		assert_output ''
		run --separate-stderr gomtree -p in -k uid,gid,mode,size,time,link,xattr,sha256digest -f $list
		assert_ok
		assert_output ''
	done
	run --separate-stderr gomtree -f list.tar2tree -f list.erofs2tree
	assert_ok
	for script in "${wrong[@]}" 's/user.note=aGVsbG8=/user.note=aGVsbG9=/' 's/ xattr.trusted.note=[^ ]*//'; do
		spoil list.tar2tree "$script"
		run --separate-stderr bash -c "gomtree -p in -K sha256digest,xattr <bad"
		[[ $status -ne 0 || -n $output ]] || show "nothing found: $script"
	done
	for script in 's/hardlink=.*/hardlink=.\/su/' 's/device=native,1,3/device=native,1,5/'; do
		spoil list.tar2tree "$script"
		run --separate-stderr gomtree -f list.tar2tree -f bad
		[[ $status -ne 0 && -n $output ]] || show "nothing found: $script"
	done
}
