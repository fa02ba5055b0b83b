# What erofs2tree, ext42tree and tar2tree show to people: --list, --depth, --sizes, --cat.

load helpers
setup() { common_setup; }
teardown() { unmount_all; }

# files makes the directory tree, with files of all kinds.
files() {
	mkdir -p tree/usr/bin tree/etc "tree/a b" tree/dev
	seq 20000 >tree/usr/bin/numbers
	chmod 4755 tree/usr/bin/numbers
	ln -s usr/bin tree/bin
	ln -s /bin/numbers tree/etc/same
	ln -s ../../../../etc/passwd tree/etc/out
	ln -s loop tree/loop
	ln -s nowhere tree/etc/dangling
	echo root >tree/etc/passwd
	ln tree/etc/passwd "tree/a b/linked"
	chmod 1777 tree/dev
	: >tree/empty
	truncate -s 3M tree/sparse
	printf data | dd of=tree/sparse bs=1M seek=1 conv=notrunc status=none
	mkfifo tree/pipe
	! mknod tree/dev/null c 1 3 2>/dev/null || chown 12:345 tree/dev/null
	find tree -exec touch -hd @1700000000.5 {} +
	tar -C tree --sort=name --format=pax --numeric-owner -cf tree.tar .
}

# as_listed DIR is what --list shows of it, in another order: by find. Sizes are those of
# files and symbolic links.
as_listed() {
	local format='%M %n %U %G %s %TY-%Tm-%TdT%TH:%TM:%TS /%P'
	(cd "$1" && find . -path ./lost+found -prune -o \( -type l -printf "$format -> %l\n" -o -printf "$format\n" \)) |
		sed -E 's/\.[0-9]+ \//Z \//' | comparable
}

comparable() {
	awk '{ if ($1 !~ /^[-l]/) $5 = "-"; if ($7 == "/") $2 = "-"; sub(/[+]$/, "", $1); $1 = $1; print }' | sort
}

@test "--list is what find says of the mounted image" {
	files
	tar2tree tree.tar | tree2erofs -o ours.erofs
	tar2tree tree.tar | tree2erofs -z lz4 -o packed.erofs
	tar2tree tree.tar | tree2ext4 -o ours.ext4
	for image in ours.erofs packed.erofs ours.ext4; do
		mount_image "${image#*.}" $image mnt
		as_listed mnt >want
		umount mnt
		"${image#*.}2tree" --list $image | sed -E 's/ link to .*//' | comparable >have
		diff want have || fail "$image"
		(($(wc -l <have) >= 17)) || fail "only $(wc -l <have) lines"
	done
}

@test "--list of images of mkfs.erofs and mke2fs" {
	need mkfs.erofs mke2fs
	files
	mkfs.erofs -E^inline_data other.erofs tree >/dev/null 2>&1
	mke2fs -q -t ext4 -d tree other.ext4 64M
	as_listed tree | grep -v ' /$' >want
	for image in other.erofs other.ext4; do
		"${image#*.}2tree" --list $image | sed -E 's/ link to .*//' | comparable | grep -v ' /$' >have
		# Not every file system counts the links of directories.
		[ "$(stat -c %h tree)" != 1 ] || sed -i -E '/^d/s/ [0-9]+ / - /' want have
		diff want have || fail "$image"
	done
	run --separate-stderr bash -c 'erofs2tree --list other.erofs | sed -n "/ link to /s/.* \//\//p"'
	assert_ok
	assert_output /a\ b/linked
}

@test "--list: the lines as they are" {
	small_layer layer.tar
	tar2tree layer.tar | tree2erofs -o image
	run --separate-stderr erofs2tree --list image
	assert_ok
	assert_output 'drwxr-xr-x    4     0     0          - 2023-11-14T22:13:20Z /
drwxr-xr-x    2     0     0          - 2023-11-14T22:13:20Z /bin
-rw-r--r--    1     0     0     100000 2023-11-14T22:13:20Z /bin/big
lrwxr-xr-x    1     0     0          3 2023-11-14T22:13:20Z /bin/link -> big
drwxr-xr-x    2     0     0          - 2023-11-14T22:13:20Z /etc
-rw-r--r--    2     0     0          4 2023-11-14T22:13:20Z /etc/hostname
-rw-r--r--    2     0     0          4 2023-11-14T22:13:20Z /etc/hostname.orig link to /etc/hostname'
	all=$output
	for line in 'erofs2tree --list - <image' 'cat image | erofs2tree --list -' 'tar2tree layer.tar | tree2ext4 | ext42tree --list -'; do
		run --separate-stderr bash -c "$line"
		assert_ok
		assert_output "$all"
	done
	run --separate-stderr erofs2tree --list=/etc --digest image
	assert_ok
	(($(wc -l <<<"$output") == 3)) || show "not three lines"
	[[ $output == *" $(echo vm1 | sha256sum | cut -d' ' -f1) /etc/hostname"$'\n'* ]] || show "no digest"
	run --separate-stderr erofs2tree --list=bin/big -o out image
	assert_ok
	[[ $(<out) == *' /bin/big' ]] || fail "$(<out)"
	run --separate-stderr erofs2tree --list=/etc/none -o out image
	assert_error erofs2tree 1 'image: /etc/none: no such file in the image'
	[[ $(<out) == *' /bin/big' ]] || fail "out was changed"
	assert_no_debris layer.tar image out
}

@test "hostile names stay in their line, and a terminal obeys none" {
	mkdir dir
	names=($'new\nline' $'\e[2J\e]0;x\a' $'latin1 \xe9' $'bidi \u202egpj' $'c1 \xc2\x9b2J' 'back\012slash' 'grüße' 'x -> y' 'x link to y' 'x (whiteout)' 'ends ')
	for name in "${names[@]}"; do
		echo "content" >"dir/$name"
		ln -s "$name" "dir/to $name"
	done
	tar -C dir -cf dir.tar .
	tar2tree dir.tar | tree2erofs -o image
	tar2tree dir.tar | tree2ext4 -o image.ext4
	for line in 'erofs2tree --list image' 'ext42tree --list image.ext4' 'tar2tree --list --sort dir.tar' 'erofs2tree --sizes --bytes image' 'erofs2tree --list --depth 9 image'; do
		run --separate-stderr bash -c "$line"
		assert_ok
		! LC_ALL=C grep -q $'[\x01-\x09\x0b-\x1f\x7f]' <<<"$output" || show "a control character"
		[[ $output != *$'\xe9'* && $output != *$'\u202e'* && $output != *$'\xc2\x9b'* ]] || show "not printable"
		[[ $line == *--sizes* || $line == *--depth* ]] || (($(wc -l <<<"$output") == 23)) || show "not one line for each name"
	done
	for want in ' /new\012line' ' /\033[2J\033]0;x\007' ' /latin1 \351' ' /back\134012slash' ' /grüße' ' /x\040-> y' ' /x\040link to y' ' /x\040(whiteout)' ' /ends\040' '/to grüße -> grüße'; do
		erofs2tree --list image | grep -qF -- "$want" || fail "no line with $want"
	done
	for name in "${names[@]}"; do
		run --separate-stderr erofs2tree --cat "/to $name" image
		assert_ok
		assert_output content
	done
	run --separate-stderr erofs2tree --cat $'\e[2J\n' image
	assert_error erofs2tree 1 'image: /\033[2J\012: no such file'
	assert_no_debris dir dir.tar image image.ext4
}

@test "--list of layers: marks, single and merged" {
	mkdir -p d/sub
	touch d/.wh.gone d/sub/.wh..wh..opq d/sub/file
	tar --no-recursion --mtime=@1 -cf upper.tar d/.wh.gone d/sub d/sub/.wh..wh..opq d/sub/file
	touch d/gone d/sub/old
	tar --no-recursion --mtime=@1 -cf lower.tar d d/gone d/sub d/sub/old
	for n in lower upper; do
		tar2tree --input layer $n.tar | tree2erofs --layer --quiet -o $n
	done
	for line in 'erofs2tree --list upper' 'tar2tree --list --sort upper.tar'; do
		run --separate-stderr bash -c "$line"
		assert_ok
		[[ $output == *' /d/gone (whiteout)'* && $output == *' /d/sub (opaque)'* && $output == *' /d/sub/file'* && $output != *old* ]] || show "$line: other marks"
	done
	for line in 'erofs2tree --list lower upper' 'tar2tree --list lower.tar upper.tar'; do
		run --separate-stderr bash -c "$line | grep -o ' /.*' | xargs"
		assert_ok
		assert_output '/ /d /d/sub /d/sub/file'
	done
	mkext4upper --size 64M --tree <(tar2tree --input layer --sort upper.tar) -o disk
	run --separate-stderr ext42tree --upper --list disk
	assert_ok
	[[ $output == *' /d/gone (whiteout)'* && $output == *' /d/sub (opaque)'* ]] || show "other marks"
	run --separate-stderr ext42tree --list=/upper/d disk
	assert_ok
	[[ $output == *' 0,0 '*' /upper/d/gone (whiteout)'* ]] || show "no whiteout"
	run --separate-stderr ext42tree --upper --cat d/gone disk
	assert_error ext42tree 1 'disk: /d/gone: is a whiteout: the layer deletes the file'
	run --separate-stderr ext42tree --upper --cat d/sub/file disk
	assert_ok
}

@test "--depth: totals of directories" {
	files
	tar2tree tree.tar | tree2erofs -o image
	run --separate-stderr erofs2tree --list --depth 1 --bytes image
	assert_ok
	[[ ${output%%$'\n'*} =~ ^\ +size\ +stored\ +names\ path$ ]] || show "other headings"
	for path in / /usr /etc; do # a file counts where its first name is: in "/a b"
		want=$(find "tree$path" -type f ! -samefile tree/etc/passwd -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }')
		[ $path != / ] || want=$((want + 5))
		count=$(find "tree$path" | wc -l)
		awk -v p=$path '$4 == p { print $1, $3 }' <<<"$output" | grep -qx "$want $count" || show "$path: not $want bytes, $count names"
	done
	[[ $output != *' /usr/bin' ]] || show "too deep"
	run --separate-stderr bash -c 'erofs2tree --list=/usr --depth 9 image | awk "{ print \$1, \$3, \$4 }"'
	assert_ok
	assert_output $'size names path\n106.3K 3 /usr\n106.3K 2 /usr/bin'
	run --separate-stderr bash -c 'tar2tree --list --depth 0 tree.tar; tar2tree tree.tar | tree2ext4 | ext42tree --list --depth=0 -'
	assert_ok
	(($(wc -l <<<"$output") == 4)) || show "not four lines"
}

@test "--cat of every file, of every kind of image" {
	need mkfs.erofs mke2fs fsck.erofs debugfs
	files
	mkfs.erofs inline.erofs tree >/dev/null 2>&1
	mkfs.erofs --chunksize=65536 chunks.erofs tree >/dev/null 2>&1
	mkfs.erofs -zlz4 -Eztailpacking packed.erofs tree >/dev/null 2>&1
	tar2tree tree.tar | tree2erofs -z zstd -o zstd.erofs
	tar2tree tree.tar | tree2erofs --layer -o layer.erofs
	tree2erofs --fsmeta -o fsmeta.erofs layer.erofs
	mke2fs -q -t ext4 -d tree other.ext4 64M
	tar2tree tree.tar | tree2ext4 -o ours.ext4
	(cd tree && find . -type f) >paths
	(($(wc -l <paths) == 5)) || fail "$(<paths)"
	for image in *.erofs *.ext4 tree.tar; do
		arguments=("${image#*.}2tree" "$image")
		[ "$image" != fsmeta.erofs ] || arguments+=(--device layer.erofs)
		while read -r path; do
			"${arguments[@]}" --cat "$path" | cmp - "tree/$path" || fail "$image: $path"
		done <paths
		"${arguments[@]}" --cat etc/same | cmp - tree/usr/bin/numbers || fail "$image: symbolic links"
		"${arguments[@]}" --cat /etc/out -o out
		cmp out tree/etc/passwd || fail "$image: a link out of the image"
	done
	erofs2tree --cat /usr/bin/numbers layer.erofs layer.erofs | cmp - tree/usr/bin/numbers
	fsck.erofs --extract=extracted packed.erofs >/dev/null 2>&1
	erofs2tree --cat /sparse packed.erofs | cmp - extracted/sparse
	erofs2tree --cat /bin/numbers packed.erofs | cmp - extracted/usr/bin/numbers
	ext42tree --cat /sparse other.ext4 | cmp - <(debugfs -R 'cat /sparse' other.ext4 2>/dev/null)
	erofs2tree --cat bin/numbers - < <(cat zstd.erofs) | cmp - tree/usr/bin/numbers
}

@test "--cat of what has no content" {
	files
	tar2tree tree.tar | tree2erofs -o tree.erofs
	tar2tree tree.tar | tree2ext4 -o tree.ext4
	for image in tree.erofs tree.ext4 tree.tar; do
		tool=${image#*.}2tree
		for c in '/etc|/etc: is a directory' '/none|/none: no such file in the image' 'empty/x|/empty: is not a directory' '/pipe|/pipe: is a named pipe' \
			'loop|/loop: more than 40 symbolic links' 'etc/dangling|/etc/dangling leads to /etc/nowhere: no such file' '/|/: is a directory'; do
			run --separate-stderr "$tool" --cat "${c%%|*}" -o out $image
			assert_error "$tool" 1 "$image: ${c#*|}"
		done
		run --separate-stderr "$tool" --cat /etc $image
		[[ $stderr == *'hint: --list=DIR shows what is in a directory'* ]] || show "no hint"
		run --separate-stderr "$tool" --cat /sparse --max-file-size=1M $image
		assert_error "$tool" 1 'file of 3145728 bytes'
		[[ $stderr == *'hint: --max-file-size raises the limit'* ]] || show "no hint"
	done
	assert_no_debris tree tree.tar tree.erofs tree.ext4
}

@test "--cat and --list read no other contents" {
	mkdir dir
	head -c 3000000 /dev/urandom >dir/other
	seq 100000 >dir/wanted
	tar -C dir -cf dir.tar .
	tar2tree dir.tar | tree2erofs -o dir.erofs
	tar2tree dir.tar | tree2ext4 -o dir.ext4
	for image in dir.erofs dir.ext4; do
		tool=${image#*.}2tree
		# What a shell has read counts what the commands have read for which it has waited.
		run --separate-stderr bash -c '"$0" --cat wanted "$1" >out; cmp out dir/wanted; "$0" --list "$1" >/dev/null; grep ^rchar: /proc/$$/io' "$tool" $image
		[ "$status" = 0 ] || skip_or_fail "the kernel does not count what is read"
		read_bytes=${output#rchar: }
		((read_bytes > 588895 * 3 && read_bytes < 588895 * 3 + 1500000)) || fail "$tool has read $read_bytes bytes"
	done
}

@test "tar2tree spools one file for --cat, and none for --list and --sizes" {
	full_disk 128k
	mkdir -p dir/usr/bin top/etc
	head -c 3000000 /dev/urandom >dir/other
	seq 1000 >dir/usr/bin/wanted
	ln -s usr/bin dir/bin
	ln -s /bin/wanted dir/called
	ln dir/usr/bin/wanted dir/zz
	echo below >dir/over
	echo deleted >dir/deleted
	tar -C dir --sort=name -cf 0.tar .
	: >top/.wh.deleted
	echo above >top/over
	tar -C top --sort=name -cf 1.tar .
	gzip -k 0.tar
	for inputs in 0.tar 0.tar.gz '0.tar 1.tar'; do
		for path in usr/bin/wanted bin/wanted /called zz; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr tar2tree --tmpdir full --cat $path $inputs
			assert_ok
			[ "$output" = "$(seq 1000)" ] || show "another file than $path"
		done
		for look in --list '--list --depth 1' --sizes; do
			# shellcheck disable=SC2086 # words
			tar2tree --tmpdir full $look $inputs >/dev/null
		done
	done
	[ "$(tar2tree --tmpdir full --cat over 0.tar)" = below ]
	[ "$(tar2tree --tmpdir full --cat over 0.tar 1.tar)" = above ]
	run --separate-stderr tar2tree --tmpdir full --cat deleted 0.tar 1.tar
	assert_error tar2tree 1 '/deleted: '
	run --separate-stderr tar2tree --tmpdir full --cat other 0.tar
	assert_error tar2tree 1 'no space left'
	tar2tree --cat called - < <(cat 0.tar) | cmp - dir/zz # what can be read only once
	tar2tree --cat called <(cat 0.tar) | cmp - dir/zz
	tar2tree --cat called - <0.tar | cmp - dir/zz
	tar --format=pax -C dir --xattrs -cf warn.tar --pax-option=SCHILY.xattr.trusted.overlay.x=y zz called usr bin
	run --separate-stderr tar2tree --cat called warn.tar
	assert_status 0
	(($(grep -c warning <<<"$stderr") == $(tar2tree --list warn.tar 2>&1 >/dev/null | grep -c warning))) || show "warnings come twice"
	unmount_all
}

@test "--sizes: what the layers take, and what is hidden" {
	mkdir dir
	head -c 300000 /dev/urandom >dir/deleted
	head -c 200000 /dev/urandom >dir/replaced
	head -c 100000 /dev/urandom >dir/kept
	tar -C dir -cf 0.tar .
	rm dir/*
	head -c 50000 /dev/urandom >dir/replaced
	touch dir/.wh.deleted
	tar -C dir -cf 1.tar replaced .wh.deleted
	for n in 0 1; do tar2tree --input layer $n.tar | tree2erofs --layer -o $n.erofs; done
	tree2erofs --fsmeta -o fsmeta 0.erofs 1.erofs
	cat fsmeta 0.erofs 1.erofs >disk
	run --separate-stderr tar2tree --sizes --bytes 0.tar 1.tar
	assert_ok
	mapfile -t tars < <(stat -c %s 0.tar 1.tar)
	assert_fields 'layer takes size hidden names name' "0 ${tars[0]} 600000 500000 4 0.tar" "1 ${tars[1]} 50000 0 2 1.tar" "all $((tars[0] + tars[1])) 650000 500000 6 all layers" \
		'0 300000 300000 1 /deleted' '0 200000 200000 1 /replaced' '0 100000 0 1 /kept' '1 50000 0 1 /replaced'
	run --separate-stderr bash -c 'cat 1.tar | tar2tree --sizes --bytes 0.tar -' # a pipe has no length
	assert_ok
	assert_fields "0 ${tars[0]} 600000 500000 4 0.tar" '1 - 50000 0 2 standard input' 'all - 650000 500000 6 all layers'
	taken=$(($(stat -c %s 0.erofs) + $(stat -c %s 1.erofs)))
	run --separate-stderr erofs2tree --sizes --bytes 0.erofs 1.erofs
	assert_ok
	assert_fields "all $taken 650000 659456 503808 6 all layers" '0 300000 303104 303104 1 /deleted'
	for line in 'fsmeta --device 0.erofs --device 1.erofs' disk; do
		run --separate-stderr bash -c "erofs2tree --sizes --bytes $line"
		assert_ok
		assert_fields "all $((taken + $(stat -c %s fsmeta))) 650000 659456 503808 6 all layers" '0 300000 303104 303104 1 /deleted'
		[[ $output == *"$(stat -c %s fsmeta) "*", metadata"* ]] || show "no metadata"
	done
	run --separate-stderr bash -c 'erofs2tree 0.erofs 1.erofs | tree2ext4 | ext42tree --sizes --bytes -'
	assert_ok
	assert_fields '50000 53248 1 /replaced' '100000 102400 1 /kept'
	run --separate-stderr bash -c 'erofs2tree 0.erofs 1.erofs | tree2erofs -z lz4 | erofs2tree --sizes -'
	assert_ok
	assert_fields '97.7K 97.7K 1 /kept'
	run --separate-stderr erofs2tree --sizes fsmeta # contents are elsewhere
	assert_ok
	assert_fields '97.7K 1 /kept'
	run --separate-stderr erofs2tree --list --depth 0 fsmeta
	assert_ok
	assert_fields 'size names path' '146.5K 3 /'
	for line in 'fsmeta --device 0.erofs --device 1.erofs' disk '0.erofs 1.erofs'; do
		run --separate-stderr bash -c "erofs2tree --list --depth 0 $line"
		assert_ok
		assert_fields 'size stored names path' '146.5K 152.0K 3 /'
	done
}

@test "--sizes: a layer that comes twice" {
	mkdir dir
	head -c 300000 /dev/urandom >dir/restored
	head -c 200000 /dev/urandom >dir/kept
	tar -C dir -cf 0.tar .
	head -c 100000 /dev/urandom >dir/restored
	echo new >dir/new
	tar -C dir -cf 1.tar ./restored ./new
	for compression in none zstd; do
		for n in 0 1; do tar2tree --input layer $n.tar | tree2erofs --layer -z $compression --quiet -o $n.erofs; done
		tree2erofs --fsmeta --quiet -o fsmeta 0.erofs 1.erofs 0.erofs
		cat fsmeta 0.erofs 1.erofs >disk
		for line in '0.erofs 1.erofs 0.erofs' 'fsmeta --device 0.erofs --device 1.erofs' disk; do
			run --separate-stderr bash -c "erofs2tree --sizes --bytes $line"
			assert_ok
			assert_fields '0 300000 303104 0 1 /restored' '0 200000 200704 0 1 /kept' '1 100000 102400 102400 1 /restored'
			[[ $output =~ all\ +[0-9]+\ +600004\ +610304\ +102400\ +5\ all\ layers ]] || show "$compression, $line: other totals"
		done
	done
	truncate -s 99999 1.erofs
	run --separate-stderr erofs2tree --sizes -o out 0.erofs 1.erofs
	assert_error erofs2tree 1 '1.erofs: '
	rm 0.erofs
	run --separate-stderr erofs2tree --sizes -o out 0.erofs 1.erofs
	assert_error erofs2tree 1 '0.erofs: '
}

# assert_fields LINE...: these lines are in the output, whatever the width of its columns.
assert_fields() {
	local line
	for line; do
		sed -E 's/ +/ /g; s/^ //' <<<"$output" | grep -qxF -- "$line" || show "no line: $line" || return
	done
}

@test "--sizes with contents on a device that is no image" {
	need mkfs.erofs
	mkdir dir
	head -c 300000 /dev/urandom >dir/file
	mkfs.erofs --chunksize=4096 --blobdev=blob image dir >/dev/null 2>&1
	run --separate-stderr erofs2tree --sizes --bytes --device blob image
	assert_ok
	assert_fields "$(($(stat -c %s image) + $(stat -c %s blob))) 300000 303104 2 image" '300000 303104 1 /file'
	run --separate-stderr erofs2tree --sizes --bytes image
	assert_ok
	assert_fields "$(stat -c %s image) 300000 2 image" '300000 1 /file'
}

@test "--sizes of an image" {
	demo_image demo
	run --separate-stderr tar2tree --sizes oci:demo:demo
	assert_error tar2tree 1 ''
	oci-fetch -o image.tar oci:demo:demo
	layers=$(oci-fetch --list --digests oci:demo:demo | wc -l)
	for input in demo image.tar '- <image.tar' '<(cat image.tar)'; do
		run --separate-stderr bash -c "tar2tree --sizes --bytes $input"
		assert_ok
		(($(grep -c ' sha256:[0-9a-f]\{12\}' <<<"$output") == layers)) || show "not $layers layers"
		takes=$(awk '$NF == "layers" { print $2 }' <<<"$output")
		((takes == $(oci-fetch --list --json oci:demo:demo | grep -A99 '"layers"' | awk -F'[ ,]+' '/"size"/ { n += $3 } END { print n }'))) || show "other sizes"
	done
	run --separate-stderr tar2tree --sizes --layer 0 demo
	assert_ok
	[[ ${output%%$'\n'*} =~ ^\ +takes\ +size\ +names\ name$ ]] || show "other headings"
	sed -i 's/.\{9\}$/123456789/' image.tar
	head -c 100000 image.tar >short.tar
	run --separate-stderr tar2tree --sizes -o out short.tar
	assert_error tar2tree 1 'short.tar: '
	assert_no_debris demo image.tar short.tar
}

@test "two images compared" {
	mkdir -p dir/same
	echo 1 >dir/changed
	echo 1 >dir/removed
	echo 1 >dir/content
	seq 9 >dir/same/file
	find dir -exec touch -hd @1 {} +
	tar -C dir -cf - . | tar2tree | tree2erofs -o a.erofs
	echo longer >dir/changed
	echo 2 >dir/content
	mv dir/removed dir/added
	find dir -exec touch -hd @1 {} +
	tar -C dir -cf - . | tar2tree | tree2ext4 -o b.ext4
	run --separate-stderr bash -c 'diff <(erofs2tree --list a.erofs) <(ext42tree --list b.ext4) | grep "^[<>]" | grep -o "^.\|/.*" | xargs'
	assert_ok
	assert_output '< /changed > /added > /changed < /removed'
	run --separate-stderr bash -c 'diff <(erofs2tree --list --digest a.erofs) <(ext42tree --list --digest b.ext4) | grep -c "^[<>].* /content$"'
	assert_ok
	assert_output 2
}

@test "usage errors of what is shown" {
	small_layer layer.tar
	tar2tree layer.tar | tree2erofs -o image
	tar2tree layer.tar | tree2ext4 -o image.ext4
	for tool in "erofs2tree image" "ext42tree image.ext4" "tar2tree layer.tar"; do
		for c in '--list --sizes|' '--cat /x --list|' '--sizes --cat x|' '--depth 1|--depth needs --list' '--list --depth=-1|less than 0' '--bytes --list|--bytes needs' \
			'--list --no-data|leave it out' '--sizes --digest|--digest needs' '--list --depth 1 --digest|--digest needs' '--cat=|value is empty' '--digest|--digest needs'; do
			# shellcheck disable=SC2086 # flags
			run --separate-stderr ${tool% *} ${c%%|*} -o out "${tool#* }"
			assert_error "${tool% *}" 2 "${c#*|}"
		done
	done
	mkdir -p dir
	for c in 'erofs2tree dir image|dir: is a directory' 'erofs2tree usr image|usr: open: no such file or directory' \
		'tar2tree usr layer.tar|usr: open: no such file or directory' 'tar2tree dir layer.tar|dir: not an OCI image layout'; do
		read -r tool dir image <<<"${c%%|*}"
		run --separate-stderr "$tool" --list "$dir" "$image"
		assert_error "$tool" 1 "${c#*|}"
		[[ $stderr == *'hint: the flag for a directory in the image is --list=DIR, with ='* ]] || show "no hint" || return
	done
	run --separate-stderr erofs2tree --list image none
	assert_error erofs2tree 1 'none: open: no such file'
	[[ $stderr != *hint* ]] || show "a hint"
	assert_no_debris layer.tar image image.ext4 dir
}

@test "--cat: an input that is replaced between its two readings" {
	mkdir one two
	echo first >one/x
	ln -s x one/link
	truncate -s 150M one/zeros
	tar -C one -cf one.tar x link zeros
	echo second >two/y
	ln -s y two/link
	tar -C two -cf two.tar y link
	local pid
	for _ in {1..10}; do # until it is stopped in the first one
		rm -f in.tar
		ln one.tar in.tar
		tar2tree --cat link in.tar >out 2>stderr 3>&- &
		pid=$!
		until readlink /proc/$pid/fd/* 2>/dev/null | grep -q in.tar || [ ! -e /proc/$pid/fd/0 ]; do :; done
		kill -STOP $pid || continue
		ln -f two.tar in.tar
		kill -CONT $pid
		status=0
		wait $pid || status=$?
		[ $status = 0 ] || break
		[ "$(<out)" = first ] || fail "$(<out)"
	done
	assert_status 1
	[ "$(<stderr)" = 'tar2tree: in.tar: /link leads to /y: has changed while it was read' ] || fail "$(<stderr)"
	assert_empty out
}

@test "a full disk, a closed pipe, a broken image, a terminal" {
	small_layer layer.tar
	tar2tree layer.tar | tree2erofs -o image
	printf 'a\0b\e[2J' >binary
	mkdir dir
	cp binary dir
	seq 100000 | sed 's|.*|dir/&|' | head -2000 | xargs touch
	tar -cf many.tar dir
	tar2tree many.tar | tree2erofs -o many
	for flags in --list '--list --depth 1' --sizes '--cat bin/big'; do
		# shellcheck disable=SC2086 # flags
		run --separate-stderr bash -c "erofs2tree $flags image >/dev/full"
		assert_error erofs2tree 1 'no space left on device'
	done
	run --separate-stderr bash -c 'set +o pipefail; erofs2tree --list many | head -1; echo "${PIPESTATUS[0]}"'
	assert_ok
	[[ ${output##*$'\n'} = 141 || ${output##*$'\n'} = 0 ]] || show "another status"
	run --separate-stderr bash -c 'erofs2tree --cat bin/big image | head -c 5'
	assert_ok
	assert_output xxxxx
	head -c 3000 image >short
	for flags in --list --sizes '--cat bin/big'; do
		# shellcheck disable=SC2086 # flags
		run --separate-stderr erofs2tree $flags -o out short
		assert_error erofs2tree 1 'cut short'
	done
	on_terminal 'erofs2tree --list image'
	[[ $output == *' /bin/big'* ]] || show "no listing"
	on_terminal 'erofs2tree --cat /etc/hostname image'
	[[ $output == vm1* ]] || show "no content"
	on_terminal 'erofs2tree --cat /dir/binary many'
	[[ $output == *'standard output is a terminal, and the content is not text'* && $output != *$'\e'* ]] || show "binary data on a terminal"
	on_terminal 'erofs2tree --cat /dir/binary many | cmp - binary && echo same'
	[[ $output == same* ]] || show "not the same"
	assert_no_debris layer.tar image binary dir many many.tar short
}
