# erofs-patch: images and streams patched, what the kernel sees of it, failures.

load helpers
setup() {
	common_setup
	small_layer layer.tar
	tar2tree --sort layer.tar -o base.tree
	tree2erofs -o base base.tree
}
teardown() {
	unmount_all
}

# three_layers makes the images 0, 1 and 2, the lowest with links for parents, modes
# and owners of its own.
three_layers() {
	mkdir -p l0/usr/bin l0/usr/lib l0/etc l0/tmp l0/root l0/opt/old l0/srv l1/opt l2/etc
	ln -s usr/bin l0/bin
	ln -s /usr/lib l0/lib
	echo busybox >l0/usr/bin/busybox
	ln -s busybox l0/usr/bin/env
	echo 'root:*' >l0/etc/shadow
	echo old >l0/opt/old/file
	echo kept >l0/opt/kept
	echo one >l0/srv/a
	ln l0/srv/a l0/srv/b
	truncate -s 1M l0/srv/hole
	cp l0/usr/bin/busybox l0/usr/bin/su
	chmod 1777 l0/tmp
	chmod 0700 l0/root
	chmod 0640 l0/etc/shadow
	chmod 4755 l0/usr/bin/su
	chown 0:42 l0/etc/shadow
	: >l1/opt/.wh.old
	echo localhost >l2/etc/hosts
	local n
	for n in 0 1 2; do
		chmod 0755 l$n
		[ $n = 0 ] && chmod 0751 l0
		tar --format=posix --mtime=@1600000000 --sort=name --numeric-owner -C l$n -cf l$n.tar .
		tar2tree --input layer l$n.tar | tree2erofs --quiet --layer -o $n
	done
	chmod 0751 l2 l1
	for n in 1 2; do
		tar --format=posix --mtime=@1600000000 --sort=name --numeric-owner -C l$n -cf l$n.tar .
		tar2tree --input layer l$n.tar | tree2erofs --quiet --layer -o $n
	done
}

# listing of a stream on standard input, without contents and checksum.
listing() { tree2erofs | erofs2tree --no-data - | grep -v '^#'; }

# mounts LOWER... mounts each as EROFS and sets $lowerdir.
mounts() {
	local image
	lowerdir=
	for image; do
		mount_image erofs "$image" "$image.mnt"
		lowerdir=$image.mnt${lowerdir:+:$lowerdir}
	done
}

# seen_alike LOWER... -- FLAG...: what the kernel sees of the difference, as a layer and
# as an upper disk over the lowers, is what it sees of the whole in one image.
seen_alike() {
	local lowers=() flags=() lower lowerdir
	while [ "$1" != -- ]; do
		lowers+=("$1")
		flags+=(--lower "$1")
		shift
	done
	shift
	need_guest
	erofs-patch "${flags[@]}" --full "$@" | tree2erofs -o whole
	erofs-patch "${flags[@]}" "$@" | tree2erofs --layer -o difference
	erofs-patch "${flags[@]}" "$@" | mkext4upper --tree - --size 64M -o upper
	clean upper
	mount_image erofs whole whole.mnt
	guest whole.mnt >want
	mkdir -p merged
	mounts "${lowers[@]}" difference
	mount -t overlay -o "lowerdir=$lowerdir" overlay merged || skip_or_fail "no overlay can be mounted here"
	guest merged >layer.list
	umount merged
	mount_image ext4 upper upper.mnt rw
	mount -t overlay -o "lowerdir=${lowerdir#*:},upperdir=upper.mnt/upper,workdir=upper.mnt/work" overlay merged
	guest merged >upper.list
	unmount_all
	cmp want layer.list || fail "$(diff want layer.list)"
	cmp want upper.list || fail "$(diff want upper.list)"
	erofs-patch "${flags[@]}" --full "$@" | tree2tar -o whole.tar
	erofs-patch "${flags[@]}" "$@" | tree2erofs --layer -o difference
	[ "$(erofs2tree --no-data --digest "${lowers[@]}" difference | grep -v '^#')" = "$(grep -v '^#' want)" ] || fail "erofs2tree merges another tree"
}

@test "a list from a file, from standard input, in YAML and as flags: the same" {
	cat >patches.json <<-'EOF'
		[
		  {"append": {"path": "/etc/hostname", "content": "line\n"}},
		  {"mkdir": {"path": "/data", "mode": "0750"}},
		  {"text": {"path": "/data/x", "content": "t"}}
		]
	EOF
	cat >patches.yaml <<-'EOF'
		patches:
		- append: {path: /etc/hostname, content: "line\n"}
		- mkdir:
		    path: /data
		    mode: "0750"
		- text: {path: /data/x, content: t}
	EOF
	cat >outer.json <<<'{"patch_files": ["patches.yaml"]}'
	erofs-patch --lower base patches.json >want
	for line in 'erofs-patch --lower base - <patches.json' 'erofs-patch --lower base - <patches.yaml' 'cat patches.json | erofs-patch --lower base -' \
		'erofs-patch --lower base patches.yaml' 'erofs-patch --lower base outer.json' 'erofs-patch --lower=base <(cat patches.json)' \
		'erofs-patch --lower base --append /etc/hostname=line --mkdir /data:0750 --text /data/x=t' \
		'erofs-patch --lower base.tree patches.json' 'erofs-patch --lower - patches.json <base.tree' 'erofs-patch --lower <(cat base.tree) patches.json' \
		'cat base.tree | erofs-patch --lower - --tmpdir "$TMPDIR" patches.json' 'erofs-patch --lower base -o out patches.json; cat out; rm out' \
		'tree2ext4 base.tree | cat >ext4; erofs-patch --lower ext4 patches.json; rm ext4' \
		'TZ=Asia/Tokyo GOMAXPROCS=1 erofs-patch --lower base patches.json' 'umask 077; erofs-patch --lower base patches.json'; do
		run --separate-stderr bash -c "set -e; { $line; } | cmp - want"
		[ "$status" = 0 ] || show "$line"
	done
	run --separate-stderr listing <want
	assert_output '. type=dir mode=0755 uid=0 gid=0 time=1700000000.000000000
./data type=dir mode=0750 uid=0 gid=0 time=0.000000000
./data/x type=file mode=0644 uid=0 gid=0 time=0.000000000 size=1
./etc type=dir mode=0755 uid=0 gid=0 time=1700000000.000000000
./etc/hostname type=file mode=0644 uid=0 gid=0 time=0.000000000 size=9'
	assert_no_debris layer.tar base.tree base patches.json patches.yaml outer.json want
}

@test "files come before flags, and flags in their order" {
	printf '%s\n' '- append: {path: /etc/hostname, content: "1"}' >1.yaml
	printf '%s\n' '- append: {path: /etc/hostname, content: "2"}' >2.yaml
	run --separate-stderr bash -c 'erofs-patch --full --append /etc/hostname=3 --rename /etc/hostname:/h --append /h=4 --lower base 1.yaml 2.yaml | tree2tar | tar -xO h'
	assert_ok
	assert_output $'vm1\n123\n4'
}

@test "an empty list: the root alone, or the whole tree" {
	for list in '' empty.json; do
		echo '[]' >empty.json
		run --separate-stderr bash -c "erofs-patch --lower base $list | grep -a '^\\.'"
		assert_output '. type=dir mode=0755 uid=0 gid=0 time=1700000000.000000000'
		run --separate-stderr bash -c "erofs-patch --full --lower base $list | tail -n +2 | cmp - <(erofs2tree base | tail -n +2)"
		assert_ok
	done
}

@test "three pipelines: an upper disk, a patched image, a stream" {
	cat >patches.json <<<'{"patches": [{"append": {"path": "/etc/hostname", "content": "more\n"}}]}'
	tar -cf app.tar --mtime=@5 --transform 's,.*,app,' layer.tar
	tar2tree app.tar | tree2erofs --quiet --layer -o app
	for line in 'erofs-patch --lower base --lower app patches.json | mkext4upper --tree - --size 64M -o upper.ext4' \
		"erofs-patch --lower base --append /etc/hostname='10.0.0.2 db' --mkdir /data:0750 --full | tree2erofs -o patched.erofs" \
		'tar2tree layer.tar app.tar | erofs-patch --lower - --full patches.json | tree2ext4 -o root.ext4'; do
		run --separate-stderr bash -c "$line"
		assert_ok
		assert_output ''
	done
	clean upper.ext4
	clean root.ext4
	[ "$(erofs2tree patched.erofs | grep -ac '^10.0.0.2 db$')" = 1 ] || fail "not appended to one name alone"
	[ "$(debugfs -R 'cat /upper/etc/hostname' upper.ext4 2>/dev/null)" = $'vm1\nmore' ] || fail "upper.ext4"
	[ "$(debugfs -R 'cat /etc/hostname' root.ext4 2>/dev/null)" = $'vm1\nmore' ] || fail "root.ext4"
	assert_no_debris layer.tar base.tree base patches.json app.tar app upper.ext4 patched.erofs root.ext4
}

@test "the kernel sees of the difference what it sees of the whole" {
	three_layers
	tar2tree l0.tar l1.tar l2.tar | tree2erofs --layer -o flat
	for lowers in flat '0 1 2'; do
		# shellcheck disable=SC2086 # several words
		seen_alike $lowers -- \
			--append /etc/shadow=x --append /etc/hosts=y --append /srv/a=two --append /srv/hole=end --append /bin/su=s \
			--text /bin/tool:4755=t --text /tmp/x/y=deep --text /root/r= --text /lib/l=l --mkdir /data:0750 \
			--remove /opt --text /opt/kept=new --replace --text /usr/bin/env=coreutils --symlink usr:/link \
			--rename /srv:/var/srv --link /etc/hosts:/etc/hosts.orig --chmod /tmp:0700 --chown /usr/lib=5:6 \
			--xattr /etc/hosts=user.a=1 --touch /etc/machine-id --touch /etc/hosts=77.5 --vm-skeleton --mtime 99
		# shellcheck disable=SC2086 # several words
		seen_alike $lowers -- --remove /etc --remove /usr/bin --text /usr/bin=file --mkdir /etc/hosts --remove /nothing --rename /opt:/moved
		# shellcheck disable=SC2086 # several words
		seen_alike $lowers --
	done
}

@test "what is appended to keeps its attributes, and parents are as below" {
	three_layers
	run --separate-stderr bash -c 'erofs-patch --lower 0 --lower 1 --lower 2 --append /etc/shadow=x --text /tmp/x= --text /root/x= --append /bin/su=x --append /srv/b=x >out'
	assert_ok
	run --separate-stderr bash -c 'grep -a "^\./\|^\. " out | cut -d" " -f1-5'
	assert_output '. type=dir mode=0751 uid=0 gid=0
./etc type=dir mode=0755 uid=0 gid=0
./etc/shadow type=file mode=0640 uid=0 gid=42
./root type=dir mode=0700 uid=0 gid=0
./root/x type=file mode=0644 uid=0 gid=0
./srv type=dir mode=0755 uid=0 gid=0
./srv/b type=file mode=0644 uid=0 gid=0
./tmp type=dir mode=1777 uid=0 gid=0
./tmp/x type=file mode=0644 uid=0 gid=0
./usr type=dir mode=0755 uid=0 gid=0
./usr/bin type=dir mode=0755 uid=0 gid=0
./usr/bin/su type=file mode=4755 uid=0 gid=0'
}

@test "capabilities go with a write, unless --keep-caps" {
	demo_image DIR
	oci-fetch oci:DIR:demo | tar2tree -o demo.tree
	for c in '|0' '--keep-caps|1' '--mtime 5|0'; do
		run --separate-stderr bash -c "erofs-patch ${c%|*} --lower demo.tree --append /usr/bin/ping=x | grep -ac 'ping .*security.capability'"
		assert_output "${c#*|}"
	done
}

@test "a parent that is a symbolic link stays one, and one at the end is replaced" {
	three_layers
	run --separate-stderr bash -c 'erofs-patch --lower 0 --text /bin/foo=x --dry-run'
	assert_ok
	[[ $output == './usr/bin/foo -> type=file '* && $output != *$'\n'* ]] || show "not below the link"
	run --separate-stderr erofs-patch --lower 0 --text /usr/bin/env=x --replace --dry-run
	assert_ok
	[[ $output == './usr/bin/env type=link '*' link=busybox -> type=file '* && $output != *$'\n'* ]] || show "the link is not replaced"
	ln -s / l0/up
	ln -s loop l0/loop
	ln -s ../../../etc l0/out
	tar -C l0 -cf l0.tar .
	tar2tree l0.tar >l0.tree
	run --separate-stderr erofs-patch --lower l0.tree --text /up/up/out/x=x --dry-run
	[[ $output == './etc/x -> '* ]] || show "not clamped"
	run --separate-stderr erofs-patch --lower l0.tree --text /loop/x=x --dry-run
	assert_error erofs-patch 1 '--text /loop/x: '
}

@test "an image from scratch gets its mount points with --vm-skeleton" {
	printf '#!/init\n' >init
	tar --mtime=@5 --numeric-owner --owner=0 --group=0 --mode=0755 -cf scratch.tar init
	run --separate-stderr bash -c 'tar2tree scratch.tar | tree2erofs | cat >scratch; erofs-patch --lower scratch --vm-skeleton --dry-run'
	assert_ok
	assert_output './dev -> type=dir mode=0755 uid=0 gid=0 time=0.000000000
./proc -> type=dir mode=0555 uid=0 gid=0 time=0.000000000
./run -> type=dir mode=0755 uid=0 gid=0 time=0.000000000
./sys -> type=dir mode=0555 uid=0 gid=0 time=0.000000000
./tmp -> type=dir mode=01777 uid=0 gid=0 time=0.000000000'
	run --separate-stderr bash -c 'erofs-patch --lower scratch --vm-skeleton --symlink /var/run:/run --mkdir /tmp:0700 --dry-run'
	[[ $output == *'./run -> type=link '*'./tmp -> type=dir mode=0700 '* ]] || show "what the list has is overridden"
}

@test "copies of files of this machine" {
	mkdir -p src/tree/sub other
	echo file >src/file
	chmod 4750 src/file
	ln -s file src/link
	ln -s /etc/passwd src/tree/passwd
	echo t >src/tree/sub/t
	chmod 0600 src/tree/sub/t
	cat >src/patches.yaml <<<'[{"copy_file": {"src": "link", "dst": "/f"}}, {"copy_dir": {"src": "tree", "dst": "/t"}}]'
	want='./f -> type=file mode=04750 uid=0 gid=0 time=0.000000000 size=5
./t -> type=dir mode=0755 uid=0 gid=0 time=0.000000000
./t/passwd -> type=link mode=0777 uid=0 gid=0 time=0.000000000 link=/etc/passwd
./t/sub -> type=dir mode=0755 uid=0 gid=0 time=0.000000000
./t/sub/t -> type=file mode=0600 uid=0 gid=0 time=0.000000000 size=2'
	chmod 0755 src/tree src/tree/sub
	for args in src/patches.yaml '--copy-file src/link:/f --copy-dir src/tree:/t' '--root src --copy-file link:/f --copy-dir /tree:/t'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr erofs-patch --lower base --dry-run $args
		assert_ok
		assert_output "$want"
	done
	run --separate-stderr erofs-patch --lower base --dry-run --copy-file src/file:/f:0600 --copy-dir src/tree/sub:/bin --replace
	assert_output './bin/t -> type=file mode=0600 uid=0 gid=0 time=0.000000000 size=2
./f -> type=file mode=0600 uid=0 gid=0 time=0.000000000 size=5'
	for c in '--copy-file ../layer.tar:/x|path escapes from parent' '--copy-file tree/passwd:/x|path escapes from parent' '--copy-file none:/x|no such file' '--copy-file tree:/x|is not a regular file'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr erofs-patch --lower base --dry-run --root src ${c%|*}
		assert_error erofs-patch 1 "${c#*|}"
	done
	mkfifo src/tree/fifo
	run --separate-stderr erofs-patch --lower base -o out --copy-dir src/tree:/t
	assert_error erofs-patch 1 'fifo: is not a regular file, directory or symbolic link'
	run --separate-stderr erofs-patch --lower base --root none -o out --copy-dir src/tree:/t
	assert_error erofs-patch 1 'none: '
	assert_no_debris layer.tar base.tree base src other
}

@test "--preserve takes owners, times and links along" {
	need_root
	mkdir d
	echo x >d/a
	chown 7:8 d/a
	touch -d @1234567890.5 d/a d
	ln d/a d/b
	run --separate-stderr bash -c 'erofs-patch --lower base --preserve --copy-dir d:/d | grep -a "^\./d/"'
	assert_output './d/a type=file mode=0644 uid=7 gid=8 time=1234567890.500000000 size=2
./d/b type=file mode=0644 uid=7 gid=8 time=1234567890.500000000 size=2 hardlink=./d/a'
}

@test "--follow copies what links lead to, inside the directory" {
	mkdir -p d/sub
	echo x >d/sub/a
	ln -s sub/a d/link
	umask 022
	chmod 0644 d/sub/a
	run --separate-stderr erofs-patch --lower base --dry-run --follow --copy-dir d:/d
	assert_ok
	[[ $output == *$'\n./d/link -> type=file mode=0644 uid=0 gid=0 time=0.000000000 size=2\n'* ]] || show "not a file"
	ln -s /etc/passwd d/out
	run --separate-stderr erofs-patch --lower base -o out --follow --copy-dir d:/d
	assert_error erofs-patch 1 'path escapes from parent'
	[ ! -e out ] || fail "output"
}

@test "an image of metadata, with its layers" {
	three_layers
	tree2erofs --fsmeta -o meta 0 1 2
	erofs-patch --lower 0 --lower 1 --lower 2 --full --append /etc/hosts=x >want
	for line in '--lower meta --device 0 --device 1 --device 2' '--device 0 --device 1 --device 2 --lower meta' '--lower meta --device 0 --device 1 --device 2 --lower 2'; do
		run --separate-stderr bash -c "erofs-patch $line --full --append /etc/hosts=x | cmp - want"
		assert_ok
	done
	run --separate-stderr erofs-patch --lower meta --full -o out
	assert_error erofs-patch 1 'the device is not at hand'
	[[ $stderr == *'hint: name the layers, bottom to top: --device FILE for each, after its --lower' ]] || show "no hint"
	run --separate-stderr erofs-patch --lower meta --text /etc/x= --dry-run # contents are not asked for
	assert_ok
}

@test "images of mkfs.erofs and mke2fs" {
	need mkfs.erofs mke2fs
	mkdir -p tree/etc
	echo a >tree/etc/hosts
	chmod 0600 tree/etc/hosts
	touch -d @1700000000 tree/etc/hosts tree/etc tree
	mkfs.erofs -E^inline_data erofs tree >/dev/null 2>&1
	mke2fs -q -t ext4 -b 4096 -d tree ext4 16M >/dev/null
	for image in erofs ext4; do
		run --separate-stderr bash -c "erofs-patch --lower $image --append /etc/hosts=b --mtime 5 | grep -a '^\./etc/hosts' -A2"
		assert_output $'./etc/hosts type=file mode=0600 uid=0 gid=0 time=5.000000000 size=4\na\nb'
	done
	seq 20000 >tree/etc/numbers
	mkfs.erofs -zlz4 packed tree >/dev/null 2>&1 || return 0
	run --separate-stderr bash -c 'erofs-patch --lower packed --append /etc/numbers=end | tree2tar | tar -x -O etc/numbers | cmp - <(seq 20000; echo end)'
	assert_ok
}

@test "ext4 images of small blocks, with inline data, in use, and after a crash" {
	need mke2fs
	mkdir -p tree/etc
	printf a >tree/etc/hosts
	for options in '-b 1024' '-O inline_data'; do
		# shellcheck disable=SC2086 # several words
		mke2fs -q -F -t ext4 -I 256 $options -d tree ext4 16M
		mount_image ext4 ext4 mnt rw
		chmod 0640 mnt/etc/hosts
		sync
		cp ext4 crashed
		run --separate-stderr erofs-patch --lower ext4 --append /etc/hosts=b -o out
		assert_error erofs-patch 1 'ext4: is in use: '
		[[ $stderr == *'hint: unmount it and stop what uses it, or take a copy' ]] || show "no hint"
		umount mnt
		for image in ext4 crashed; do
			run --separate-stderr bash -c "erofs-patch --lower $image --append /etc/hosts=b --mtime 5 | grep -a '^\./etc/hosts' -A1"
			assert_output $'./etc/hosts type=file mode=0640 uid=0 gid=0 time=5.000000000 size=3\nab'
		done
	done
	debugfs -w -R 'set_super_value state 2' ext4 2>/dev/null
	run --separate-stderr erofs-patch --lower ext4 --append /etc/hosts=b -o out
	assert_error erofs-patch 1 'ext4: '
	[[ $stderr == *'hint: '*e2fsck* ]] || show "no hint"
	[ ! -e out ] || fail "there is an output"
}

@test "--dry-run says what would change, and writes nothing" {
	run --separate-stderr erofs-patch --lower base --dry-run --append /etc/hostname=x --remove /bin --chmod /etc:0700
	assert_ok
	assert_output './bin type=dir mode=0755 uid=0 gid=0 time=1700000000.000000000 ->
./bin/big type=file mode=0644 uid=0 gid=0 time=1700000000.000000000 size=100000 ->
./bin/link type=link mode=0755 uid=0 gid=0 time=1700000000.000000000 link=big ->
./etc type=dir mode=0755 uid=0 gid=0 time=1700000000.000000000 -> type=dir mode=0700 uid=0 gid=0 time=1700000000.000000000
./etc/hostname type=file mode=0644 uid=0 gid=0 time=1700000000.000000000 size=4 -> type=file mode=0644 uid=0 gid=0 time=0.000000000 size=6'
	run --separate-stderr erofs-patch --lower base --dry-run --mkdir /etc
	assert_ok
	assert_output ''
	run --separate-stderr erofs-patch --lower base --dry-run --append /none=x
	assert_error erofs-patch 1 '--append /none: not found'
	on_terminal 'erofs-patch --lower base --dry-run --mkdir /d'
	assert_status 0
	on_terminal 'erofs-patch --lower base --mkdir /d'
	assert_status 2
	[[ $output == *'standard output: is a terminal'* ]] || show "another message"
}

@test "times: --mtime, SOURCE_DATE_EPOCH, 0" {
	for c in '--mtime 1.5|1.500000000' '|7.000000000'; do
		run --separate-stderr bash -c "SOURCE_DATE_EPOCH=7 erofs-patch ${c%|*} --lower base --text /x= | grep -a '^./x'"
		assert_output "./x type=file mode=0644 uid=0 gid=0 time=${c#*|} size=0"
	done
}

# refused TEXT ARG...: nothing is written, to a file or but for the cause to a pipe.
refused() {
	local text=$1
	shift
	echo before >out
	run --separate-stderr erofs-patch -o out "$@"
	assert_error erofs-patch 1 "$text"
	[ "$(<out)" = before ] || fail "out was changed"
	run --separate-stderr bash -c 'erofs-patch "$@" >fresh' bash "$@"
	assert_error erofs-patch 1 "$text"
	assert_empty fresh
	run --separate-stderr bash -c 'erofs-patch "$@" 2>/dev/null | tree2erofs -o out' bash "$@"
	assert_error tree2erofs 1 'earlier stage failed: erofs-patch: '
	run --separate-stderr erofs-patch "$@"
	assert_stderr_line erofs-patch "$text"
	[[ $output == $'#mtree ocipipe-tree 1 data=inline\n\n#abort message=erofs-patch:\\040'* ]] || show "no abort line alone"
	rm out fresh
}

@test "patches that do not apply, or are none" {
	cat >patches.json <<-'EOF'
		[
		  {"mkdir": {"path": "/data"}},
		    {"append": {"path": "/etc/x", "content": "x"}}
		]
	EOF
	refused 'erofs-patch: patches.json:3:5: patch 2 (append /etc/x): not found' --lower base patches.json
	[[ $stderr == *'erofs-patch: hint: text makes a file that does not exist' ]] || show "no hint"
	refused 'erofs-patch: --append /etc/x: not found' --lower base --append /etc/x=
	[[ $stderr == *'erofs-patch: hint: --text makes a file that does not exist' ]] || show "no hint"
	refused 'erofs-patch: --text /etc/hostname: exists (set replace to allow)' --lower base --text /etc/hostname=
	[[ $stderr == *'erofs-patch: hint: --replace replaces what exists' ]] || show "no hint"
	refused 'not a directory' --lower base --text /etc/hostname/x=
	refused 'is a directory' --lower base --append /etc=
	printf '[\n {"text": {"path": "/x", "contents": ""}}]' >bad.json
	refused 'bad.json:2:' --lower base bad.json
	[[ $stderr == *'erofs-patch: hint: man erofs-patch lists the operations and their fields' ]] || show "no hint"
	printf '[{"text": {"path": "/x", "content": ""}}' >short.json
	refused 'short.json:1:' --lower base short.json
	: >empty
	refused 'empty: there is nothing in it' --lower base empty
	refused 'none.json: open: no such file or directory' --lower base none.json
	run --separate-stderr bash -c 'erofs-patch -o out --lower base - <short.json'
	assert_error erofs-patch 1 'standard input:1:'
	assert_no_debris layer.tar base.tree base patches.json bad.json short.json empty
}

@test "lowers that are none, or are cut short" {
	refused 'none: open: no such file or directory' --lower none
	head -c 60000 base >short
	refused 'short: ' --lower short
	refused 'short: ' --lower base --lower short
	head -c 60000 base.tree >short
	refused 'short: ' --lower short
	refused 'layer.tar: is a tar archive, not an EROFS or ext4 image or a tree stream' --lower layer.tar
	refused 'is a directory' --lower .
	refused 'base.tree: devices are for an EROFS image' --lower base.tree --device base
	refused 'over the limit of' --lower base --max-entries 2
	[[ $stderr == *'hint: --max-entries raises the limit' ]] || show "no hint"
	for line in 'erofs-patch --lower - -o out <short' 'cat short | erofs-patch --lower - -o out' 'erofs-patch --lower - -o out <base' 'erofs-patch --lower - -o out </dev/null'; do
		run --separate-stderr bash -c "$line"
		assert_error erofs-patch 1 'standard input: '
	done
	run --separate-stderr bash -c 'tar2tree none 2>/dev/null | erofs-patch --lower - -o out'
	assert_error erofs-patch 1 'earlier stage failed: tar2tree: '
	assert_no_debris layer.tar base.tree base short
}

@test "usage errors" {
	run --separate-stderr erofs-patch
	assert_error erofs-patch 2 '--lower'
	for c in '--lower - -|standard input is named twice' '--lower base --mkdir d|is not absolute' '--lower base --mkdir /d:9|is a colon in a path' \
		'--lower base --mtime never|is not a time' '--lower base --nothing|unknown flag' '--lower base -o base|base: is input and output at once'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr erofs-patch ${c%|*}
		assert_error erofs-patch 2 "${c#*|}"
	done
	assert_no_debris layer.tar base.tree base
}

@test "/dev/full, a full disk" {
	for flag in '' --full --dry-run; do
		run --separate-stderr bash -c "erofs-patch --lower base --mkdir /d $flag >/dev/full"
		assert_error erofs-patch 1 'standard output: write: no space left on device'
	done
	full_disk 64k
	run --separate-stderr erofs-patch --lower base --full -o full/out
	assert_error erofs-patch 1 'no space left on device'
	run --separate-stderr bash -c 'erofs-patch --tmpdir full --lower - --mkdir /d <base.tree >out'
	assert_error erofs-patch 1 'write spool file: '
	[ -z "$(ls -A full)" ] || fail "debris: $(ls -A full)"
	assert_empty out
}

@test "closed pipe" {
	head -c 3000000 /dev/urandom >random
	tar -cf - random | tar2tree | tree2erofs -o large
	run --separate-stderr bash -c 'erofs-patch --full --lower large | head -c 100 >/dev/null; exit "${PIPESTATUS[0]}"'
	assert_status 141
	[ -z "$stderr" ] || show "standard error is not empty"
	assert_no_debris layer.tar base.tree base random large
}

@test "interrupt in the middle of a stream" {
	mkfifo "$BATS_TEST_TMPDIR/never"
	exec 7<>"$BATS_TEST_TMPDIR/never"
	for signal in INT TERM HUP; do
		echo before >kept
		head -c 50000 base.tree >&7
		interrupted "$signal" erofs-patch --lower - -o kept
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ "$(<kept)" = before ] || fail "the target was changed"
		[ -z "$stderr" ] || show "standard error is not empty"
	done
	exec 7>&-
	assert_no_debris layer.tar base.tree base kept
}

# peak LIMIT LINE runs the shell line, none of whose processes may take more MiB.
peak() {
	python3 - "$@" <<-'PY'
		import resource, subprocess, sys
		status = subprocess.call(["bash", "-c", "set -o pipefail; " + sys.argv[2]])
		mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
		sys.exit(status or (f"{mib} MiB" if mib > int(sys.argv[1]) else 0))
	PY
}

@test "large files are appended to in bounded memory" {
	need python3
	printf '%s\n' '#mtree ocipipe-tree 1 data=inline' \
		'./big type=file mode=0600 uid=0 gid=0 time=0.000000000 size=10737418240 extents=1073741824+4,5368709120+4' \
		abcdwxyz '#end records=1 bytes=8' | tree2erofs -o sparse
	run --separate-stderr peak 64 'erofs-patch --lower sparse --append /big=end >out'
	assert_ok
	[[ $(grep -a -A1 '^./big' out | tr -d '\0') == *'size=10737418244 extents='*+*,*+*',10737418240+4'$'\nabcdwxyzend' ]] || fail "not sparse any more"
	head -c 300000000 /dev/urandom >dense
	tar --mtime=@5 -cf - dense | tar2tree | tree2erofs -o image
	for lower in 'image' '- <dense.tree'; do
		[ "$lower" = image ] || erofs2tree -o dense.tree image
		run --separate-stderr peak 64 "erofs-patch --append /dense=end --lower $lower --full | tree2tar | tar -xO dense | cmp - <(cat dense; echo end)"
		assert_ok
	done
}

@test "what an earlier stage leaves in a directory is copied" {
	demo_image DIR
	run --separate-stderr bash -c 'oci-fetch --vm-config vm oci:DIR:demo | tar2tree | erofs-patch --lower - --root vm --copy-dir /:/etc/oci | grep -a "^./etc/oci/" | cut -d" " -f1'
	assert_ok
	assert_output $'./etc/oci/config.json\n./etc/oci/env\n./etc/oci/process'
}
