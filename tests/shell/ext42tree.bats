# ext42tree: ext4 images, upper disks as overlays leave them, every flag, failures.

load helpers
setup() {
	common_setup
	small_layer layer.tar
	tar2tree --sort layer.tar | tree2ext4 -o image
}
teardown() { unmount_all; }

# assert_aborted TEXT: the stream that went out ends in this cause.
assert_aborted() {
	assert_status 1
	[[ ${output##*$'\n'} == '#abort message=ext42tree:\040'* ]] || show "no abort line"
	[[ ${output##*$'\n'} == *"${1// /'\040'}"* ]] || show "another cause"
	assert_stderr_line ext42tree "$1"
}

# records FILE... prints the records of streams, without their first and last lines.
records() { grep -av '^#' "$@"; }

# upper makes the disk upper of a layer that has all marks.
upper() {
	cat >marks.tree <<'EOF'
#mtree ocipipe-tree 1 data=inline
. type=dir mode=0700 uid=1 gid=2 time=5.000000007
./gone type=char mode=0000 uid=0 gid=0 time=0.000000000 device=native,0,0
./opaque type=dir mode=0755 uid=0 gid=0 time=1.000000000 xattr.trusted.overlay.opaque=eQ==
./opaque/file type=file mode=0644 uid=0 gid=0 time=1.000000000 size=3 xattr.user.k=dg==
hi

./opaque/link type=file mode=0644 uid=0 gid=0 time=1.000000000 size=3 hardlink=./opaque/file xattr.user.k=dg==
./socket type=socket mode=0644 uid=0 gid=0 time=1.000000000
#end records=6 bytes=3
EOF
	mkext4upper --size 64M --tree marks.tree -o upper
}

# overlay OPTIONS mounts upper over lower as mnt; unmount_all takes all away.
overlay() {
	mount_image erofs lower below
	mount_image ext4 upper disk rw
	mkdir -p mnt
	mount -t overlay -o "$1,lowerdir=below,upperdir=disk/upper,workdir=disk/work" overlay mnt || skip_or_fail "no overlay can be mounted here"
}

@test "an image from a file, -, and a pipe: the same" {
	run --separate-stderr bash -c 'ext42tree image >a.tree'
	assert_ok
	tar2tree --sort layer.tar | records - | cmp - <(records a.tree)
	for line in 'ext42tree - <image | cmp - a.tree' 'cat image | ext42tree - | cmp - a.tree' 'ext42tree -o b.tree image; cmp a.tree b.tree'; do
		run --separate-stderr bash -c "$line"
		assert_ok
	done
	for flag in --no-data '--no-data --digest' --no-data=portable; do
		# shellcheck disable=SC2086 # several words
		ext42tree $flag image | records - | cmp - <(tar2tree --sort $flag layer.tar | records -)
	done
	assert_no_debris layer.tar image a.tree b.tree
}

@test "images of mke2fs" {
	need mke2fs
	mkdir tree
	tar -C tree -xf layer.tar
	tar2tree --sort --no-data --digest layer.tar | records - | sed 's/ uid=0 gid=0//;s/type=link mode=0755/type=link mode=0777/' >want # as on disks
	for options in '-t ext2' '-t ext3' '-t ext4' '-t ext4 -b 1024' '-t ext4 -O inline_data'; do
		# shellcheck disable=SC2086 # several words
		mke2fs -q -F $options -d tree other 8M
		run --separate-stderr ext42tree --no-data --digest other
		assert_ok
		records - <<<"$output" | sed -E 's/ (uid|gid)=[0-9]+//g' | grep -v '^\. ' | cmp - <(grep -v '^\. ' want)
	done
}

@test "--upper: the marks of a layer as they were put there" {
	upper
	run --separate-stderr ext42tree --upper upper
	assert_ok
	records marks.tree | cmp - <(records - <<<"$output")
	run --separate-stderr bash -c 'cat upper | ext42tree --upper --no-data -'
	assert_ok
	[[ $output == *$'\n./gone type=char '* ]] || show "no whiteout"
	run --separate-stderr bash -c 'ext42tree --upper upper | tree2tar --oci | tar -t'
	[ "$stderr" = 'tree2tar: warning: socket socket: left out' ] || show "no warning"
	assert_output $'./\n.wh.gone\nopaque/\nopaque/.wh..wh..opq\nopaque/file\nopaque/link\n.wh.socket'
	assert_no_debris layer.tar image marks.tree upper
}

@test "--exclude" {
	upper
	for c in 'gone opaque|. socket' '*ink|. gone opaque opaque/file socket' '/opaque/file socket|. gone opaque opaque/link' \
		'/file|. gone opaque opaque/file opaque/link socket'; do
		# shellcheck disable=SC2046,SC2086 # several words
		run --separate-stderr ext42tree --upper --no-data $(printf -- '--exclude=%s ' ${c%|*}) upper
		assert_ok
		[ "$(records - <<<"$output" | sed 's/ .*//;s,^\./,,' | xargs)" = "${c#*|}" ] || show "$c"
	done
	run --separate-stderr ext42tree --upper --exclude /opaque/file upper
	[[ $output == *$'\n./opaque/link type=file '*$'\nhi\n'* ]] || show "the other name is not the file"
	run --separate-stderr bash -c "ext42tree --exclude hostname --exclude '*.orig' image --no-data"
	assert_ok
	[[ $output != *hostname* && $output == *./bin/big* ]] || show "something else is left out"
	assert_no_debris layer.tar image marks.tree upper
}

@test "what an overlay leaves: renamed directories and copied metadata" {
	mkdir -p root/dir/sub root/other
	for f in dir/a dir/sub/b other/c file gone; do echo "$f" >root/$f; done
	tar -C root -cf base.tar .
	tar2tree --input layer base.tar | tree2erofs -o lower
	mkext4upper --size 64M -o upper
	overlay redirect_dir=on,metacopy=on
	mv mnt/dir mnt/moved
	mv mnt/moved/sub mnt/moved/bus
	rm mnt/gone mnt/moved/a
	chmod 600 mnt/file
	mv mnt/other/c mnt/other/d
	need_guest
	guest mnt >seen
	unmount_all
	for at in '' -o\ out; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr ext42tree --upper $at upper
		assert_status 1
		assert_stderr_line ext42tree ': the images below the overlay are needed'
		[[ $stderr == *'hint: --lower IMAGE names what was below the overlay, bottom to top' ]] || show "no hint"
	done
	[ ! -e out ] || fail "there is an output"
	run --separate-stderr bash -c 'ext42tree --upper --lower lower upper | tee out.tree | tree2tar --oci -o out.tar'
	assert_ok
	tar2tree --input layer --no-data --digest base.tar out.tar | records - | cmp - <(records seen)
	uuid=$(blkid -o value -s UUID lower 2>/dev/null || dump.erofs -s lower | sed -n 's/.*UUID: *//p')
	[ "$(sed -n 2p out.tree)" = "#:base=$uuid" ] || fail "property: $(sed -n 2p out.tree)"
	tree2ext4 <(tar2tree --input layer base.tar) -o lower.ext4
	run --separate-stderr bash -c 'ext42tree --upper --lower lower.ext4 upper | tail -n +3 | cmp - <(tail -n +3 out.tree)'
	tar2tree --input layer base.tar | tree2erofs --layer -o layer.erofs
	tree2erofs --fsmeta -o fsmeta layer.erofs
	for lowers in '--lower lower.ext4' '--lower layer.erofs' '--lower fsmeta --device layer.erofs' '--device layer.erofs --lower fsmeta' '--lower base.tree'; do
		tar2tree --input layer base.tar >base.tree
		run --separate-stderr bash -c "ext42tree --upper $lowers upper | tree2tar --oci | cmp - out.tar"
		assert_ok
	done
	# Not what was below.
	rm -r root/dir/sub
	tar -C root -cf - . | tar2tree | tree2erofs -o wrong
	run --separate-stderr ext42tree --upper --lower wrong -o out upper
	assert_error ext42tree 1 'upper: moved/bus: directory that was renamed, but they have no directory "sub": not the images that were below the overlay'
	echo longer >>root/file
	mkdir root/dir/sub
	tar -C root -cf - . | tar2tree | tree2erofs -o wrong
	run --separate-stderr ext42tree --upper --lower wrong -o out upper
	assert_error ext42tree 1 'upper: file: file of 5 bytes with its content below, where it has 12: not the images'
	[ ! -e out ] || fail "there is an output"
	# The other way round: an upper disk is no image to lie below.
	(cd "$TMPDIR" && mount_image ext4 "$OLDPWD/upper" disk rw && mkdir disk/moved && setfattr -n trusted.overlay.redirect -v /x disk/moved)
	umount "$TMPDIR/disk"
	rmdir "$TMPDIR/disk"
	run --separate-stderr ext42tree --upper --lower upper -o out upper
	assert_error ext42tree 1 'upper: moved: xattr trusted.overlay.redirect: '
}

@test "--userxattr reads user.overlay. alone" {
	tree2erofs -o lower <marks.tree 2>/dev/null || tar2tree --sort layer.tar | tree2erofs -o lower
	mkext4upper --size 64M -o upper
	overlay userxattr
	rm -r mnt/etc
	mkdir mnt/etc
	unmount_all
	run --separate-stderr ext42tree --upper --userxattr --no-data upper
	assert_ok
	[[ $output == *'./etc type=dir '*' xattr.trusted.overlay.opaque=eQ=='* ]] || show "not opaque"
	run --separate-stderr ext42tree --upper --no-data upper
	assert_ok
	[[ $output != *trusted.overlay* && $output == *xattr.user.overlay.opaque* ]] || show "read without the flag"
}

@test "a crash: the journal is replayed in memory" {
	mkext4upper --size 64M -o upper
	mount_image ext4 upper disk rw
	mkdir disk/upper/new
	echo written >disk/upper/new/file
	sync
	cp upper crashed
	umount disk
	before=$(sha256sum <crashed)
	run --separate-stderr bash -c 'ext42tree --upper --no-data crashed'
	assert_ok
	[[ $output == *./new/file\ type=file*size=8* ]] || show "what was written is not there"
	[ "$(sha256sum <crashed)" = "$before" ] || fail "the disk was changed"
}

@test "--lower is an ext4 image of any kind, after a crash too" {
	need mke2fs
	mkdir -p tree/dir
	for n in 1 40 5000; do head -c $n /dev/zero | tr '\0' x >tree/dir/$n; done
	tar -C tree -cf base.tar .
	mkext4upper --size 64M -o upper
	mke2fs -q -F -t ext4 -d tree lower 16M
	mount_image ext4 lower below rw
	mount_image ext4 upper disk rw
	mkdir mnt
	mount -t overlay -o redirect_dir=on,metacopy=on,lowerdir=below,upperdir=disk/upper,workdir=disk/work overlay mnt || skip_or_fail "no overlay can be mounted here"
	mv mnt/dir mnt/moved
	chmod 600 mnt/moved/40 mnt/moved/5000
	unmount_all
	ext42tree --upper --lower <(tar2tree base.tar) --no-data --digest upper | records - >want
	[ "$(grep -c 'moved/' want)" = 3 ] || fail "$(<want)"
	for options in '-b 1024' '-b 2048' '-O inline_data' '-O ^has_journal' '-b 1024 -O inline_data'; do
		# shellcheck disable=SC2086 # several words
		mke2fs -q -F -t ext4 -I 256 $options -d tree lower 16M
		mount_image ext4 lower below rw
		touch below/later
		sync
		cp lower crashed
		for image in lower "$(findmnt -no SOURCE below)"; do
			run --separate-stderr ext42tree --upper --lower "$image" -o out upper
			assert_error ext42tree 1 "$image: is in use"
		done
		[[ $stderr == *'hint: unmount it and stop what uses it, or take a copy' ]] || show "no hint"
		umount below
		before=$(sha256sum <crashed)
		case $options in
		*^has_journal) images='lower' ;;
		*) images='lower crashed' ;;
		esac
		for image in $images; do
			run --separate-stderr bash -c "ext42tree --upper --lower $image --no-data --digest upper"
			assert_ok
			records - <<<"$output" | cmp - want
		done
		[ "$(sha256sum <crashed)" = "$before" ] || fail "the image was changed"
	done
}

@test "a disk in use is refused" {
	mkext4upper --size 64M -o upper
	mount_image ext4 upper disk rw
	for disk in upper "$(findmnt -no SOURCE disk)"; do
		run --separate-stderr ext42tree -o out "$disk"
		assert_error ext42tree 1 "$disk: is in use: "
		[[ $stderr == *'hint: unmount it and stop what uses it, or take a copy' ]] || show "no hint"
	done
	run --separate-stderr bash -c 'ext42tree -o out - <upper'
	assert_error ext42tree 1 'standard input: is in use: attached to /dev/loop'
	umount disk
	rmdir disk
	run --separate-stderr flock upper ext42tree -o out upper
	assert_error ext42tree 1 'upper: is in use: locked by another program'
	run --separate-stderr flock -s upper ext42tree -o out upper
	assert_ok
	assert_no_debris layer.tar image upper out
}

@test "a name that looks like a whiteout is refused by tree2tar" {
	mkext4upper --size 64M -o upper
	mount_image ext4 upper disk rw
	mkdir disk/upper/a
	touch disk/upper/a/.wh.b
	unmount_all
	rmdir disk
	run --separate-stderr bash -c 'ext42tree --upper upper | tree2tar --oci -o out'
	assert_error tree2tar 1 'a/.wh.b: the name would be taken for a whiteout'
	assert_no_debris layer.tar image upper
}

@test "/upper is missing, or something else" {
	run --separate-stderr ext42tree --upper -o out image
	assert_error ext42tree 1 'image: has no directory /upper: not the upper disk of an overlay'
	[[ $stderr == *'hint: without --upper the whole file system is written' ]] || show "no hint"
	for make in 'ln -s /etc tree/upper' 'touch tree/upper'; do
		mkdir tree
		$make
		tar -C tree -cf - . | tar2tree | tree2ext4 -o other
		rm -r tree
		run --separate-stderr ext42tree --upper -o out other
		assert_error ext42tree 1 'other: upper: is no directory'
	done
	assert_no_debris layer.tar image other
}

@test "not an ext4 image, and one cut short" {
	run --separate-stderr ext42tree -o out layer.tar
	assert_error ext42tree 1 'layer.tar: '
	run --separate-stderr ext42tree -o out /dev/null
	assert_error ext42tree 1 '/dev/null: '
	size=$(stat -c %s image)
	for n in 0 1000 1100 5000 $((size / 2)) $((size - 1)); do
		head -c "$n" image >short
		run --separate-stderr ext42tree -o out short
		assert_error ext42tree 1 'short: '
		run --separate-stderr bash -c 'cat short | ext42tree - | tree2tar -o out'
		assert_status 1
		[[ $stderr == *'tree2tar: earlier stage failed: ext42tree: '* ]] || show "another cause"
	done
	assert_no_debris layer.tar image short
}

@test "usage errors" {
	run --separate-stderr ext42tree
	assert_error ext42tree 2 'argument is missing: <disk>'
	for c in '--digest image|--digest needs --no-data' '--no-data=other image|--no-data=other: the forms are' \
		'--lower image image|--lower, --device and --userxattr need --upper' '--userxattr image|--lower, --device and --userxattr need --upper' \
		'--upper --device image image|--device image: is for a --lower' '--upper --lower - -|standard input is named twice' \
		'--upper --device a --lower b --lower c image|--device a: comes before' '--exclude [ image|--exclude: pattern' '--exclude / image|--exclude: pattern'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr ext42tree ${c%|*}
		assert_error ext42tree 2 "${c#*|}"
	done
	for line in 'ext42tree -o image image' 'ext42tree -o image - <image' 'ext42tree image >>image'; do
		cp image before
		run --separate-stderr bash -c "$line"
		assert_error ext42tree 2 ': is input and output at once'
		cmp image before
	done
	assert_no_debris layer.tar image before
}

@test "missing input" {
	upper
	echo before >out
	run --separate-stderr ext42tree -o out none
	assert_error ext42tree 1 'none: open: no such file or directory'
	run --separate-stderr ext42tree --upper --lower none -o out upper
	assert_error ext42tree 1 'none: open: no such file or directory'
	run --separate-stderr ext42tree --upper --lower layer.tar -o out upper
	assert_error ext42tree 1 'layer.tar: is a tar archive, not an EROFS or ext4 image or a tree stream'
	run --separate-stderr ext42tree none
	assert_aborted 'no such file or directory'
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar image out marks.tree upper
}

@test "limits name their flags" {
	upper
	for limit in --max-entries=2 --max-depth=1 --max-file-size=2 --max-total-size=2 --max-tree-memory=1000 --max-xattr-bytes=4; do
		run --separate-stderr ext42tree -o out --upper $limit upper
		assert_error ext42tree 1 'over the limit of'
		[[ $stderr == *"ext42tree: hint: ${limit%=*} raises the limit" ]] || show "no hint"
	done
	run --separate-stderr ext42tree -o out --max-entries=2 image
	assert_error ext42tree 1 'over the limit of'
	assert_no_debris layer.tar image marks.tree upper
}

@test "/dev/full, a full disk, a closed pipe, a target that cannot be written" {
	for flag in '' --no-data; do
		run --separate-stderr bash -c "ext42tree $flag image >/dev/full"
		assert_error ext42tree 1 'standard output: write: no space left on device'
	done
	full_disk 64k
	echo before >full/out
	run --separate-stderr ext42tree -o full/out image
	assert_error ext42tree 1 'no space left on device'
	[ "$(<full/out)" = before ] || fail "the target was changed"
	run --separate-stderr bash -c 'cat image | ext42tree --tmpdir full -'
	assert_aborted 'no space left on device'
	[ "$(ls -A full)" = out ] || fail "debris: $(ls -A full)"
	umount full
	rmdir full
	head -c 3000000 /dev/urandom >random
	tar -cf - random | tar2tree | tree2ext4 -o large
	run --separate-stderr bash -c 'ext42tree large | head -c 100 >/dev/null; exit "${PIPESTATUS[0]}"'
	assert_status 141
	[ -z "$stderr" ] || show "standard error is not empty"
	mkdir dir
	for target in none/out dir image/out; do
		run --separate-stderr ext42tree -o "$target" image
		assert_error ext42tree 1 "$target: "
	done
	assert_no_debris layer.tar image random large dir
}

@test "interrupt in the middle of an image from a pipe" {
	mkfifo "$BATS_TEST_TMPDIR/never"
	exec 7<>"$BATS_TEST_TMPDIR/never"
	for signal in INT TERM HUP; do
		echo before >kept
		head -c 50000 image >&7
		interrupted "$signal" ext42tree -o kept -
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ "$(<kept)" = before ] || fail "the target was changed"
		[ -z "$stderr" ] || show "standard error is not empty"
	done
	exec 7>&-
	assert_no_debris layer.tar image kept
}

@test "terminal" {
	on_terminal 'ext42tree image'
	assert_status 2
	[[ $output == *'ext42tree: standard output: is a terminal, and the data is binary'* ]] || show "another message"
	on_terminal 'ext42tree --no-data image'
	assert_status 0
	[[ $output == *'./etc/hostname type=file'* ]] || show "no listing"
}
