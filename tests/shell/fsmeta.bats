# tree2erofs --fsmeta and erofs2tree with layers: an image in layers, merged,
# mounted each way; layers that are missing, short, changed, in the wrong order.

load helpers
setup() {
	common_setup
	loops=()
}
teardown() {
	! mountpoint -q at || umount at
	! mountpoint -q full || umount full
	! mountpoint -q 0 || umount 0
	! mountpoint -q 1 || umount 1
	[ ${#loops[@]} = 0 ] || losetup -d "${loops[@]}"
}

# layers makes 0.tar to 2.tar with all that merging does, and images of them.
layers() {
	local tar="tar --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner --format=posix" i
	mkdir -p 0/usr/bin 0/etc/old 0/etc/cleared 0/var
	ln -s usr/bin 0/bin
	seq 20000 >0/usr/bin/numbers
	ln 0/usr/bin/numbers 0/var/numbers
	echo one >0/etc/one
	: >0/etc/old/file
	echo hidden >0/etc/cleared/hidden
	truncate -s 1M 0/var/sparse
	echo data | dd of=0/var/sparse bs=1 seek=500000 conv=notrunc status=none
	mkdir -p 1/bin 1/etc/cleared
	seq 3000 >1/bin/more # only implied: ends up in usr/bin
	: >1/etc/.wh.old
	: >1/etc/cleared/.wh..wh..opq
	echo shown >1/etc/cleared/shown
	ln 0/usr/bin/numbers 1/again # a link to the layer below
	mkdir -p 2/etc
	echo two >2/etc/one
	chmod 600 2/etc/one
	(cd 0 && $tar -Scf ../0.tar .)
	(cd 1 && $tar -cf ../1.tar bin/more etc etc/.wh.old)
	# GNU tar makes a link of two names in one archive only.
	(cd 1 && mkdir -p usr/bin && ln ../0/usr/bin/numbers usr/bin/numbers && $tar -cf ../link.tar usr/bin/numbers again)
	tar --delete -f link.tar usr/bin/numbers
	tar -Af 1.tar link.tar
	(cd 2 && $tar -cf ../2.tar etc)
	rm -r 0 1 2 link.tar
	for i in 0 1 2; do
		tar2tree $i.tar | tree2erofs --quiet --layer -o $i.erofs
	done
	tar2tree -o want.tree 0.tar 1.tar 2.tar
	tar2tree --no-data --digest -o want.list 0.tar 1.tar 2.tar
}

list() { erofs2tree --no-data --digest "$@"; }
devices=(--device 0.erofs --device 1.erofs --device 2.erofs)

# loop FILE sets $loop to a device with it.
loop() {
	loop=$(losetup -rf --show "$1") || skip_or_fail "no loop device" || return
	loops+=("$loop")
}

# assert_mounted DEVICE OPTIONS: it shows what the layers come to.
assert_mounted() {
	mkdir -p at
	mount -t erofs -o "ro,$2" "$1" at || fail "$1 with $2 is not mounted" || return
	diff -r --no-dereference at flat || fail "other contents with $2" || return
	diff <(cd at && find . -printf '%p %y %m %U:%G %T@ %l\n' | sort) <(cd flat && find . -printf '%p %y %m %U:%G %T@ %l\n' | sort) ||
		fail "other attributes with $2" || return
	[ at/again -ef at/usr/bin/numbers ] || fail "the link is lost with $2" || return
	umount at
}

@test "layers merge as their tars do" {
	layers
	run --separate-stderr bash -c 'erofs2tree 0.erofs 1.erofs 2.erofs | tree2tar | tar2tree --sort --no-data --digest'
	assert_ok
	[ "$(grep -v '^#' <<<"$output")" = "$(grep -v '^#' want.list)" ] || show "another tree"
	run --separate-stderr list 0.erofs 1.erofs 2.erofs
	assert_ok
	assert_output "$(<want.list)"
	[ "$(erofs2tree 0.erofs 1.erofs 2.erofs | head -n 2 | tail -n 1)" = '#:layers=3' ] || fail "it does not say of how many"
	grep -q '^./usr/bin/more ' want.list || fail "the test does not test symbolic links"
	grep -q '^./usr/bin/numbers .* hardlink=./again' want.list || fail "the test does not test hard links"
	! grep -q 'etc/old\|hidden' want.list || fail "the test does not test whiteouts"
}

@test "an fsmeta, with its devices and on one disk" {
	layers
	for table in yes no; do
		run --separate-stderr tree2erofs --fsmeta --check --device-table=$table -o fsmeta 0.erofs 1.erofs 2.erofs
		assert_ok
		assert_output ''
		[ "$(stat -c %s fsmeta)" -le 8192 ] || fail "it is $(stat -c %s fsmeta) bytes long"
		tree2erofs --fsmeta --device-table=$table 0.erofs 1.erofs 2.erofs | cmp - fsmeta
		cat fsmeta 0.erofs 1.erofs 2.erofs >disk
		run --separate-stderr list fsmeta "${devices[@]}"
		assert_ok
		assert_output "$(<want.list)"
		run --separate-stderr list disk
		assert_ok
		assert_output "$(<want.list)"
		run --separate-stderr bash -c "erofs2tree disk | cmp - <(erofs2tree fsmeta ${devices[*]})"
		assert_ok
	done
	need fsck.erofs
	fsck.erofs disk >/dev/null || fail "fsck.erofs refuses it"
}

@test "the kernel mounts it each way" {
	need_root
	need losetup
	layers
	mkdir flat
	tree2tar want.tree | tar -C flat -xp --numeric-owner
	tree2erofs --fsmeta -o fsmeta 0.erofs 1.erofs 2.erofs
	tree2erofs --fsmeta --device-table=no -o plain 0.erofs 1.erofs 2.erofs
	cat fsmeta [0-2].erofs >disk
	cat plain [0-2].erofs >plaindisk
	options=
	for i in 0 1 2; do
		loop $i.erofs
		options+=,device=$loop
	done
	loop fsmeta
	assert_mounted "$loop" "${options#,}"
	loop disk
	assert_mounted "$loop" noatime
	loop plaindisk
	assert_mounted "$loop" noatime
}

# compress_layers FLAGS... makes the images of the layers again, layer i with word i of FLAGS
# after -z; plain if it is "none".
compress_layers() {
	local i=0 method
	for method; do
		# shellcheck disable=SC2086 # a method and flags
		tar2tree $i.tar | tree2erofs --quiet --layer -z ${method//_/ } -o $i.erofs
		i=$((i + 1))
	done
}

@test "compressed layers, mixed with plain ones: --check, erofs2tree, the kernel, fsck.erofs" {
	layers
	mkdir flat
	tree2tar want.tree | tar -C flat -xp --numeric-owner
	for methods in 'lz4 lz4hc lz4_--pcluster=4K' 'zstd none lz4' 'none deflate zstd_--extents=encoded'; do
		# shellcheck disable=SC2086 # several
		compress_layers $methods
		options=
		for table in yes no; do
			run --separate-stderr tree2erofs --quiet --fsmeta --check --device-table=$table -o fsmeta 0.erofs 1.erofs 2.erofs
			assert_ok
			cat fsmeta 0.erofs 1.erofs 2.erofs >disk$table
			for image in "fsmeta ${devices[*]}" disk$table; do
				# shellcheck disable=SC2086 # with devices or without
				run --separate-stderr list $image
				assert_ok
				assert_output "$(<want.list)"
			done
			run --separate-stderr wrap-vmdk -o disk.vmdk fsmeta 0.erofs 1.erofs 2.erofs
			assert_ok
			[ $table = no ] || mv fsmeta withtable
		done
		if [[ $methods = lz4* ]]; then
			need fsck.erofs
			run fsck.erofs --extract diskno
			assert_status 0
			[[ $output != *'<E>'* ]] || show "errors"
		fi
		need_root
		for i in 0 1 2; do
			loop $i.erofs
			options+=,device=$loop
		done
		loop withtable
		assert_mounted "$loop" "${options#,}"
		for table in yes no; do
			loop disk$table
			assert_mounted "$loop" noatime
		done
		losetup -d "${loops[@]}"
		loops=()
	done
}

@test "patches over compressed layers" {
	layers
	patch=(--full --append /usr/bin/numbers=end --append /etc/one=three)
	erofs-patch "${patch[@]}" --lower 0.erofs --lower 1.erofs --lower 2.erofs | grep -av '^#' >want
	grep -aq '^end$' want || fail "the test does not test patches"
	compress_layers zstd lz4 deflate
	tree2erofs --quiet --fsmeta -o fsmeta 0.erofs 1.erofs 2.erofs
	cat fsmeta 0.erofs 1.erofs 2.erofs >disk
	erofs-patch "${patch[@]}" --lower 0.erofs --lower 1.erofs --lower 2.erofs | grep -av '^#' | cmp - want
	erofs-patch "${patch[@]}" --lower disk | grep -av '^#' | cmp - want
}

@test "a layer that comes twice is one device" {
	layers
	ln 0.erofs same.erofs
	tree2erofs --fsmeta -o once 0.erofs 1.erofs
	tree2erofs --fsmeta -o twice 0.erofs 1.erofs same.erofs
	[ "$(od -An -tu2 -j 1110 -N 2 once)" = "$(od -An -tu2 -j 1110 -N 2 twice)" ] || fail "another number of devices"
	run --separate-stderr list twice --device 0.erofs --device 1.erofs
	assert_ok
	assert_output "$(list 0.erofs 1.erofs same.erofs)"
	run --separate-stderr list twice --device 0.erofs --device 1.erofs --device same.erofs
	assert_ok
}

@test "an fsmeta costs what its names cost" {
	truncate -s 3G sparse
	tar --sparse-version=1.0 -Scf sparse.tar sparse
	rm sparse
	head -c 30000000 /dev/zero >large
	tar cf large.tar large
	rm large
	for name in sparse large; do tar2tree $name.tar | tree2erofs --quiet --layer -o $name.erofs; done
	tree2erofs --fsmeta --check -o fsmeta large.erofs sparse.erofs
	[ "$(stat -c %s fsmeta)" = 4096 ] || fail "it is $(stat -c %s fsmeta) bytes long"
}

@test "wrong layers are named" {
	layers
	tree2erofs --fsmeta -o fsmeta 0.erofs 1.erofs 2.erofs
	cp 1.erofs other.erofs
	printf x | dd of=other.erofs bs=1 seek=1080 conv=notrunc status=none # of its UUID
	head -c 8192 0.erofs >short.erofs
	head -c 100000 /dev/urandom >junk.erofs
	for case in \
		'0.erofs 2.erofs 1.erofs|device 2, 2.erofs: is the image with the UUID' \
		'0.erofs 1.erofs|on 3 devices, and 2 are given' \
		'0.erofs other.erofs 2.erofs|device 2, other.erofs: ' \
		'short.erofs 1.erofs 2.erofs|device 1, short.erofs: has 8192 bytes' \
		'0.erofs 1.erofs junk.erofs|device 3, junk.erofs: is not an EROFS image' \
		'0.erofs 1.erofs none|none: open: no such file'; do
		args=()
		for file in ${case%|*}; do args+=(--device "$file"); done
		run --separate-stderr erofs2tree -o out fsmeta "${args[@]}"
		assert_error erofs2tree 1 "${case#*|}"
	done
	cat fsmeta 0.erofs 2.erofs 1.erofs >disk
	run --separate-stderr erofs2tree -o out disk
	assert_error erofs2tree 1 'is the image with the UUID'
	cat fsmeta 0.erofs 1.erofs >disk
	run --separate-stderr erofs2tree -o out disk
	assert_error erofs2tree 1 'the device is not at hand'
	run --separate-stderr erofs2tree -o out fsmeta
	assert_error erofs2tree 1 'the device is not at hand'
	[[ $stderr == *'hint: name the layers: --device'* ]] || show "no hint"
	[ ! -e out ] || fail "there is output"
}

@test "compressed layers that cannot be merged" {
	need mkfs.erofs
	layers
	mkdir src
	seq 60001 >src/numbers
	compress_layers lz4 lz4 lz4
	for case in '-zlz4 -Eztailpacking|numbers: no other image can refer to it: its end follows its index' \
		'-zlz4 -Elegacy-compress,noinline_data|numbers: no other image can refer to it: '; do
		# shellcheck disable=SC2086 # several arguments
		mkfs.erofs --quiet ${case%|*} foreign.erofs src >/dev/null 2>&1
		run --separate-stderr tree2erofs --fsmeta -o out 0.erofs foreign.erofs
		assert_error tree2erofs 1 "foreign.erofs: ${case#*|}"
		[[ $stderr == *'hint: make the layer with tree2erofs --layer'*'without LZMA, tail packing and fragments'* ]] || show "no hint"
		[ ! -e out ] || fail "there is output"
	done
	tar2tree 0.tar | tree2erofs --quiet --layer --block-size=512 -z lz4 -o long.erofs
	truncate -s 2T long.erofs || skip "no file can be so long here"
	run --separate-stderr tree2erofs --fsmeta -o out long.erofs
	assert_error tree2erofs 1 'long.erofs: layer images do not fit: over 2^32 blocks together'
	[[ $stderr == *'hint: merge fewer layers'* ]] || show "no hint"
}

@test "layers that cannot be merged" {
	layers
	tree2erofs -o inline.erofs <(tar2tree --sort 0.tar)
	tree2erofs --layer --block-size=512 -o small.erofs <(tar2tree 0.tar)
	head -c 10000 0.erofs >short.erofs
	for case in \
		'0.erofs inline.erofs|inline.erofs: etc/cleared/hidden: no other image can refer to it' \
		'0.erofs small.erofs|blocks of 512 bytes' \
		'short.erofs|short.erofs: byte 10000: image is cut short' \
		'1.erofs|1.erofs: again: hard link to usr/bin/numbers in a layer below: it does not exist' \
		'0.erofs none|none: open: no such file' \
		'0.tar|0.tar: ' \
		'/dev/null|/dev/null: '; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr tree2erofs --fsmeta -o out ${case%|*}
		assert_error tree2erofs 1 "${case#*|}"
		[ ! -e out ] || fail "there is output"
	done
	run --separate-stderr tree2erofs --fsmeta 0.erofs inline.erofs
	[[ $stderr == *'hint: make the layer with tree2erofs --layer'* ]] || show "no hint"
}

@test "usage" {
	for line in '--fsmeta' '--fsmeta -' '--fsmeta --layer a' '--fsmeta --block-size=512 a' '--fsmeta --require-crc a' \
		'--device-table=no a' '--fsmeta --device-table=some a' 'a b'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr tree2erofs -o out $line
		assert_error tree2erofs 2 ''
	done
	run --separate-stderr erofs2tree a b --device c
	assert_error erofs2tree 2 'single image'
	run --separate-stderr tree2erofs --help
	assert_status 0
	[[ $output == *5.16*6.4* ]] || show "no kernel versions"
	assert_no_debris
}

@test "a full disk, and a pipe that closes" {
	layers
	run --separate-stderr bash -c 'tree2erofs --fsmeta 0.erofs 1.erofs 2.erofs >/dev/full'
	assert_error tree2erofs 1 'no space left'
	run --separate-stderr bash -c 'set -o pipefail; erofs2tree 0.erofs 1.erofs 2.erofs | head -n 1 >/dev/null'
	[[ $status = 0 || $status = 141 ]] || show "status is not 141"
	need_root
	mkdir full
	mount -t tmpfs -o size=4k tmpfs full || skip_or_fail "mounting is not allowed here"
	echo filled >full/file
	run --separate-stderr tree2erofs --fsmeta -o full/out 0.erofs 1.erofs 2.erofs
	assert_error tree2erofs 1 'no space left'
	[ "$(ls full)" = file ] || fail "something is left: $(ls full)"
}

# linked makes below.tar with ./b and ./c, and above.tar with links in front of a
# new ./b: to it, to what is only above, to each other.
linked() {
	cat >linked.py <<-'EOF'
		import io, tarfile
		def add(t, name, text="", link=None):
		    i = tarfile.TarInfo(name)
		    if link:
		        i.type, i.linkname = tarfile.LNKTYPE, link
		    i.size = len(text)
		    t.addfile(i, io.BytesIO(text.encode()))
		with tarfile.open("below.tar", "w") as t:
		    add(t, "b", "below")
		    add(t, "c", "other")
		with tarfile.open("above.tar", "w") as t:
		    add(t, "a", link="b")
		    add(t, "a2", link="a")
		    add(t, "x", link="y")
		    add(t, "b", "above, b")
		    add(t, "y", "above, y")
		    add(t, "z", link="b")
	EOF
	python3 linked.py
	rm linked.py
}

@test "a hard link binds when it comes, on every way" {
	linked
	tar2tree --no-data --digest -o want.list below.tar above.tar
	for name in 'a .*size=5 ' 'a2 .*size=5 hardlink=./a' 'b .*size=8 ' 'x .*size=8 ' 'y .*hardlink=./x' 'z .*hardlink=./b'; do
		grep -q "^./$name" want.list || fail "$name: $(<want.list)"
	done
	for sort in '' --sort; do
		tar2tree $sort below.tar | tree2erofs --layer --check -o 0.erofs
		# shellcheck disable=SC2086 # no word where it is empty
		run --separate-stderr bash -c "tar2tree $sort above.tar | tree2erofs --layer --check -o 1.erofs"
		assert_status 0
		[[ $stderr == *'cannot express 3 entries'*'(a hard link to a layer below)'* ]] || show "another warning"
		run --separate-stderr bash -c 'erofs2tree --no-data --digest 0.erofs 1.erofs | cmp - want.list'
		assert_ok
		tree2erofs --fsmeta --check -o meta 0.erofs 1.erofs
		[ "$(erofs2tree --no-data --digest --device 0.erofs --device 1.erofs meta | grep -v '^#')" = "$(grep -v '^#' want.list)" ] ||
			fail "fsmeta differs"
		run --separate-stderr bash -c 'erofs2tree 1.erofs | tree2erofs --layer --quiet | cmp - 1.erofs'
		assert_ok
	done
	# Alone, the upper layer is flat too: nothing lies below.
	run --separate-stderr bash -c 'tar2tree above.tar | tree2erofs --check -o alone'
	assert_ok
	erofs2tree alone | grep -q '^./a .*size=8' || fail "a is not b"
	tar2tree above.tar | tree2tar -o alone.tar
	run --separate-stderr bash -c 'tar2tree above.tar | tree2tar --oci -o out.tar'
	[[ $stderr == *'a: '*'hard link to b in a layer below, or else to something else'* ]] || show "not refused"
	[ "$status" = 1 ] || show "no error"
	assert_no_debris below.tar above.tar want.list 0.erofs 1.erofs meta alone alone.tar
}

@test "overlayfs refuses links to the layer below, and shows all the rest" {
	need_root
	linked
	mkdir 0 1 at
	tar2tree below.tar | tree2erofs --layer -o 0.erofs
	tar2tree above.tar | tree2erofs --layer --quiet -o 1.erofs
	mount_image erofs 0.erofs 0
	mount_image erofs 1.erofs 1
	for metacopy in off on; do
		mount -t overlay -o "metacopy=$metacopy,lowerdir=1:0" overlay at
		for name in a a2 x; do
			run stat "at/$name"
			[ "$status" = 1 ] || show "metacopy=$metacopy: $name is a file"
			run cat "at/$name"
			[ "$status" = 1 ] || show "metacopy=$metacopy: $name can be read"
		done
		[ "$(cat at/b at/c at/y at/z)" = 'above, botherabove, yabove, b' ] || fail "$(tail at/b at/c at/y at/z)"
		run tar -C at -cf all.tar .
		[ "$status" = 2 ] || show "tar takes them"
		[ "$(tar -tf all.tar | sort | xargs)" = './ ./b ./c ./y ./z' ] || fail "$(tar -tf all.tar)"
		umount at
	done
	umount 0 1
	rmdir 0 1 at
}
