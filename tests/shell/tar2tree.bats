# tar2tree: every kind of input, every flag, failures.

load helpers
setup() {
	common_setup
	small_layer layer.tar
}

# The same image as a layout, demo, and as an archive, image.tar.
image() {
	demo_image demo
	oci-fetch -o image.tar oci:demo:demo
}

# listing of a layer or a stream's source: without contents and checksums, which
# say nothing that sizes do not.
listing() { tar2tree --no-data "$@" | grep -v '^#'; }

# layer_of FILE NAME...: a layer of files that hold their names.
layer_of() {
	local file=$PWD/$1 dir name
	shift
	dir=$(mktemp -d -p "$BATS_TEST_TMPDIR")
	for name; do
		mkdir -p "$dir/$(dirname "$name")"
		echo "$name" >"$dir/$name"
	done
	(cd "$dir" && tar --mtime=@1 --owner=0 --group=0 --numeric-owner --mode=0644 --no-recursion -cf "$file" -- "$@")
	rm -r "$dir"
}

@test "a layer from standard input, a file, and -" {
	run --separate-stderr bash -c 'tar2tree <layer.tar >a.tree'
	assert_ok
	assert_output ''
	run --separate-stderr bash -c 'tar2tree layer.tar | cmp - a.tree && cat layer.tar | tar2tree | cmp - a.tree && cat layer.tar | tar2tree - | cmp - a.tree'
	assert_ok
	run --separate-stderr tar2tree -o b.tree layer.tar
	assert_ok
	assert_output ''
	cmp a.tree b.tree
	[ "$(head -n 2 a.tree)" = $'#mtree ocipipe-tree 1 data=inline\n. type=dir mode=0755 uid=0 gid=0 time=1700000000.000000000' ] ||
		fail "not the stream: $(head -n 2 a.tree)"
	[ "$(grep -ac '^\./' a.tree)" -eq 6 ] || fail "not six names below the root"
	grep -aqx vm1 a.tree || fail "no content"
	[[ $(tail -n 1 a.tree) =~ ^'#end records=7 bytes=100004 crc32='[0-9a-f]{8}$ ]] || fail "end: $(tail -n 1 a.tree)"
	assert_no_debris layer.tar a.tree b.tree
}

@test "compressed layers are known by their content" {
	need zstd
	tar2tree layer.tar >want
	gzip -k layer.tar
	zstd -q layer.tar
	head -c 700 layer.tar | gzip >members
	tail -c +701 layer.tar | gzip >>members
	for file in layer.tar.gz layer.tar.zst members; do
		mv "$file" plain-name
		run --separate-stderr bash -c 'tar2tree plain-name | cmp - want && tar2tree --input=layer <plain-name | cmp - want'
		assert_ok
	done
}

@test "compressions that are not read are named, with what unpacks them" {
	need bzip2 xz
	for tool in bzip2 xz; do
		$tool -c <layer.tar >packed
		for input in auto layer image; do
			run --separate-stderr tar2tree --input=$input -o out packed
			assert_error tar2tree 1 "packed: unsupported compression: $tool"
			[[ $stderr == *"hint: $tool -dc packed | tar2tree" ]] || show 'no hint'
			run --separate-stderr bash -c "cat packed | tar2tree --input=$input -o out"
			assert_error tar2tree 1 "unsupported compression: $tool"
			[[ $stderr == *"hint: ... | $tool -dc | tar2tree" ]] || show 'no hint'
		done
		run --separate-stderr tar2tree -o out layer.tar packed
		assert_error tar2tree 1 "packed: unsupported compression: $tool"
		[[ $stderr == *"hint: $tool -dc FILE unpacks it" ]] || show 'no hint'
		for reference in oci-archive docker-archive; do
			run --separate-stderr oci-fetch -o out $reference:packed
			assert_error oci-fetch 1 "packed: unsupported compression: $tool"
			[[ $stderr == *"hint: $tool -dc FILE unpacks it" ]] || show 'no hint'
		done
		run --separate-stderr bash -c "$tool -dc packed | tar2tree | cmp - <(tar2tree layer.tar)"
		assert_ok
	done
	assert_no_debris layer.tar packed
}

@test "an image: archive as file and pipe, directory, by --input" {
	image
	run --separate-stderr bash -c 'tar2tree image.tar >want'
	assert_ok
	for line in 'cat image.tar | tar2tree' 'tar2tree <image.tar' 'tar2tree demo' 'tar2tree -j1 demo' 'tar2tree -j8 demo' \
		'oci-fetch oci:demo | tar2tree --input=image' 'tar2tree --platform linux/amd64 demo'; do
		run --separate-stderr bash -c "$line | cmp - want"
		assert_ok
	done
	grep -aq "^#:manifest=sha256:$(oci-fetch --manifest oci:demo | sha256sum | cut -d' ' -f1)\$" want || fail "no manifest property"
	grep -aqx '#:layers=3' want || fail "no layers property"
	listing image.tar >names
	! grep -q '\.wh\.\|device=native,0,0\|trusted\.' names || fail "marks in a flat tree"
	cut -d' ' -f1 names >have
	LC_ALL=C sort -c have || fail "names are not in order"
}

# packings FILE: the same tar by its side, compressed too.
packings() {
	need zstd
	gzip -kc "$1" >"$1.gz"
	zstd -qkc "$1" >"$1.zst"
	echo "$1" "$1.gz" "$1.zst"
}

@test "an image archive of whatever tar, compressed too, is an image" {
	need skopeo umoci
	image
	tar2tree demo >want
	skopeo --insecure-policy copy -q oci:demo:demo oci-archive:skopeo.tar:demo
	skopeo --insecure-policy copy -q oci:demo:demo docker-archive:docker.tar:demo:latest
	tar -C demo -cf dot.tar .
	tar -C demo --sort=name -cf sorted.tar ./blobs .
	mkdir unpacked
	tar -xf docker.tar -C unpacked
	tar -C unpacked --sort=name -cf docker-dot.tar . # as Nix does it
	for tar in image skopeo docker dot sorted docker-dot; do
		for file in $(packings $tar.tar); do
			for line in "tar2tree $file" "cat $file | tar2tree" "tar2tree <$file" "oci-fetch oci-archive:$file | tar2tree" \
				"cat $file | oci-fetch oci-archive:- | tar2tree"; do
				run --separate-stderr bash -c "set -o pipefail; $line | grep -av '^#' | cmp - <(grep -av '^#' want)"
				assert_ok
			done
		done
	done
	umoci init --layout busybox
	umoci new --image busybox:v1
	small_layer l.tar
	umoci raw add-layer --image busybox:v1 l.tar
	tar -C busybox -czf busybox.tgz .
	run --separate-stderr bash -c 'set -o pipefail; cat busybox.tgz | tar2tree --no-data | grep -c "^./etc/hostname"'
	assert_ok
	assert_output 2
	run --separate-stderr bash -c 'tar2tree --input=layer dot.tar.gz | grep -aq "^./index.json "'
	assert_ok
}

@test "what may be a layer or an image is refused, and --input decides" {
	mkdir -p blobs many && touch blobs/x
	tar -cf blobs.tar blobs
	(cd many && seq -f 'directory%05g' 40000 | xargs mkdir && echo '{}' >index.json)
	tar --sort=name -cf many.tar -C many .
	for file in $(packings blobs.tar) $(packings many.tar); do
		for line in "tar2tree -o out $file" "cat $file | tar2tree -o out"; do
			run --separate-stderr bash -c "$line"
			assert_error tar2tree 1 ''
			[[ $stderr == *'hint: '*--input=layer* ]] || show "no way out"
		done
		run --separate-stderr bash -c "tar2tree --input=layer --no-data $file | tail -n 1"
		assert_ok
	done
	rm -r blobs many
	assert_no_debris layer.tar blobs.tar{,.gz,.zst} many.tar{,.gz,.zst}
}

@test "a docker archive" {
	need skopeo
	image
	skopeo --insecure-policy copy -q oci:demo:demo docker-archive:docker.tar:demo:latest
	run --separate-stderr bash -c 'cat docker.tar | tar2tree'
	assert_status 0
	[ -z "$stderr" ] || show "standard error is not empty"
	diff <(listing demo) <(listing docker.tar)
	run --separate-stderr tar2tree -o out --max-metadata=10 docker.tar
	assert_error tar2tree 1 'longer than 10 bytes'
	[[ $stderr == *$'\ntar2tree: hint: --max-metadata raises the limit' ]] || show "no hint"
}

@test "--layer by number, digest and diff-id" {
	image
	n=0
	for d in $(oci-fetch --list --digests oci:demo); do
		oci-fetch --layer "$n" oci:demo | gzip -dcf | sha256sum | cut -d' ' -f1 >id
		run --separate-stderr bash -c "tar2tree --layer $n image.tar >by-number"
		assert_ok
		grep -aqx "#:diff-id=sha256:$(<id)" by-number || fail "no diff-id"
		for by in "$d" "sha256:$(<id)"; do
			run --separate-stderr bash -c "tar2tree --layer $by demo | cmp - by-number && cat image.tar | tar2tree --layer $by | cmp - by-number"
			assert_ok
		done
		oci-fetch --layer "$n" oci:demo | tar2tree | grep -av '^#' >alone
		grep -av '^#' by-number | cmp - alone
		n=$((n + 1))
	done
	[ "$n" -eq 3 ] || fail "$n layers"
	run --separate-stderr bash -c "head -c $(($(stat -c %s image.tar) - 1024)) image.tar | tar2tree -o out --layer 0"
	assert_error tar2tree 1 'archive is cut short at byte '
	run --separate-stderr tar2tree -o out --layer 3 demo
	assert_error tar2tree 1 'layer 3: not found: the image has 3, from layer 0 to layer 2'
	assert_no_debris layer.tar demo image.tar id by-number alone
}

@test "several layers, bottom to top" {
	layer_of 0 a d/b d/c
	layer_of 1 d/.wh.b e
	layer_of 2 d/.wh..wh..opq d/new
	run --separate-stderr bash -c 'tar2tree --no-data 0 1 | grep -v "^#" | cut -d" " -f1'
	assert_output $'.\n./a\n./d\n./d/c\n./e'
	run --separate-stderr bash -c 'tar2tree --no-data 0 1 2 | grep -v "^#" | cut -d" " -f1'
	assert_output $'.\n./a\n./d\n./d/new\n./e'
	gzip 1
	run --separate-stderr bash -c 'cat 2 | tar2tree --no-data 0 1.gz - | grep -v "^#" | cut -d" " -f1'
	assert_output $'.\n./a\n./d\n./d/new\n./e'
	run --separate-stderr bash -c 'tar2tree 0 1.gz | head -n 2 | tail -n 1'
	assert_output '#:layers=2'
}

@test "an image followed by layers" {
	need skopeo
	image
	gzip -k image.tar
	skopeo --insecure-policy copy -q oci:demo:demo docker-archive:docker.tar:demo:latest
	layer_of one etc/.wh.motd init new/a
	layer_of two new/.wh..wh..opq new/b
	gzip two
	for n in 0 1 2; do
		oci-fetch --layer $n -o layer$n oci:demo
	done
	tar2tree layer0 layer1 layer2 one two.gz >want
	grep -aqx '#:layers=5' want || fail "not five layers"
	tar2tree demo | grep -aq '^./etc/motd ' || fail "no file to hide"
	! grep -aq '^./etc/motd \|^./new/a ' want || fail "whiteouts do nothing"
	for line in 'tar2tree demo one two.gz' 'tar2tree image.tar one two.gz' 'tar2tree image.tar.gz one two.gz' \
		'tar2tree docker.tar one two.gz' 'cat image.tar | tar2tree - one two.gz' 'cat docker.tar | tar2tree - one two.gz' \
		'cat one | tar2tree demo - two.gz' 'tar2tree demo <(cat one) <(cat two.gz)' 'tar2tree --input=image image.tar one two.gz' \
		'tar2tree -j1 demo one two.gz' 'oci-fetch oci:demo:demo | tar2tree - one two.gz'; do
		run --separate-stderr bash -c "$line | cmp - want"
		assert_ok
	done
	oci-fetch --config oci:demo >config
	run --separate-stderr bash -c 'tar2tree --config-file /etc/config image.tar one | tree2tar | tar -xOf - etc/config | cmp - config'
	assert_ok
}

@test "images and layers in an order that makes no sense" {
	image
	gzip -k image.tar
	for second in image.tar image.tar.gz - demo; do
		run --separate-stderr tar2tree -o out layer.tar $second <image.tar
		assert_error tar2tree 1 "${second/#-/standard input}: an image, which only the first"
		run --separate-stderr tar2tree -o out demo layer.tar $second <image.tar
		assert_error tar2tree 1 "${second/#-/standard input}: an image, which only the first"
		[[ $stderr == *'hint: '* ]] || show "no hint"
	done
	run --separate-stderr tar2tree -o out --input=image layer.tar image.tar
	assert_error tar2tree 1 'layer.tar: not an image archive'
	run --separate-stderr tar2tree -o out - - <layer.tar
	assert_error tar2tree 2 'standard input is named twice'
	run --separate-stderr tar2tree -o out --config-file x layer.tar layer.tar
	assert_error tar2tree 2 'need an image'
	for flag in --layer=0 --sort --diff-id="sha256:$(printf %064d 0)"; do
		run --separate-stderr tar2tree -o out "$flag" demo layer.tar
		assert_error tar2tree 2 'take a single input'
	done
	run --separate-stderr bash -c 'tar2tree --input=layer --no-data image.tar layer.tar | grep -c "^./index.json \|^./etc/hostname "'
	assert_ok
	assert_output 2
	head -c 5000 image.tar >cut.tar
	for line in 'tar2tree -o out cut.tar layer.tar' 'cat cut.tar | tar2tree -o out - layer.tar' 'tar2tree -o out demo cut.tar'; do
		run --separate-stderr bash -c "$line"
		assert_status 1
	done
	assert_no_debris layer.tar demo image.tar image.tar.gz cut.tar
}

@test "one layer keeps its marks; --sort orders it" {
	layer_of l z/.wh.x b/.wh..wh..opq b/f a
	run --separate-stderr listing l
	assert_ok
	assert_output './b/f type=file mode=0644 uid=0 gid=0 time=1.000000000 size=4
./a type=file mode=0644 uid=0 gid=0 time=1.000000000 size=2
./b type=dir mode=0755 uid=0 gid=0 time=0.000000000 nochange xattr.trusted.overlay.opaque=eQ==
./z/x type=char mode=0 uid=0 gid=0 time=0.000000000 device=native,0,0'
	run --separate-stderr listing --sort l
	assert_ok
	assert_output './a type=file mode=0644 uid=0 gid=0 time=1.000000000 size=2
./b type=dir mode=0755 uid=0 gid=0 time=0.000000000 nochange xattr.trusted.overlay.opaque=eQ==
./b/f type=file mode=0644 uid=0 gid=0 time=1.000000000 size=4
./z/x type=char mode=0 uid=0 gid=0 time=0.000000000 device=native,0,0'
	assert_no_debris layer.tar l
}

@test "--no-data, --no-data=portable, --digest" {
	run --separate-stderr tar2tree --no-data layer.tar
	assert_ok
	[[ $output == '#mtree ocipipe-tree 1 data=none'* ]] || show "not data=none"
	[[ $output != *vm1* ]] || show "content"
	[[ $output == *'./etc/hostname.orig type=file'*'hardlink=./etc/hostname'* || $output == *'hardlink=./etc/hostname.orig'* ]] || show "no hard link"
	run --separate-stderr tar2tree --no-data --digest layer.tar
	assert_ok
	[[ $output == *"sha256digest=$(echo vm1 | sha256sum | cut -d' ' -f1)"* ]] || show "no digest"
	run --separate-stderr tar2tree --no-data=portable --sort layer.tar
	assert_ok
	[[ $output != *hardlink* && $output == *nlink=2* ]] || show "not portable"
	run --separate-stderr tar2tree --no-data=other layer.tar
	assert_error tar2tree 2 '--no-data=other: the forms are'
	run --separate-stderr tar2tree --digest layer.tar
	assert_error tar2tree 2 '--digest needs --no-data'
}

@test "--config-file puts the configuration into the tree" {
	image
	oci-fetch --config oci:demo >config
	run --separate-stderr bash -c 'tar2tree --config-file /etc/oci/config.json demo | tree2tar | tar -xOf - etc/oci/config.json | cmp - config'
	assert_ok
	[[ $(listing --config-file etc/oci/config.json demo) == *"./etc/oci/config.json type=file mode=0644 uid=0 gid=0 time=0.000000000 size=$(stat -c %s config)"* ]] ||
		fail "other attributes"
	run --separate-stderr tar2tree --config-file a/../b -o out demo
	assert_error tar2tree 1 'a/../b: '
	run --separate-stderr tar2tree --config-file x -o out layer.tar
	assert_error tar2tree 2 '--layer and --config-file need an image'
	assert_no_debris layer.tar demo image.tar config
}

@test "--diff-id verifies, padding included" {
	id() { echo "sha256:$(sha256sum <"$1" | cut -d' ' -f1)"; }
	right=$(id layer.tar)
	run --separate-stderr bash -c "gzip <layer.tar | tar2tree --diff-id $right | head -n 2 | tail -n 1"
	assert_ok
	assert_output "#:diff-id=$right"
	(cat layer.tar && head -c 512 /dev/zero) >padded.tar
	run --separate-stderr tar2tree --diff-id "$(id padded.tar)" -o out padded.tar
	assert_ok
	rm out
	echo before >out
	run --separate-stderr tar2tree --diff-id "$right" -o out padded.tar
	assert_error tar2tree 1 "corrupt layer: diff-id is $(id padded.tar), expected $right"
	[ "$(<out)" = before ] || fail "out was changed"
	run --separate-stderr bash -c "tar2tree --diff-id $right padded.tar | tail -n 1"
	[[ $output == '#abort message=tar2tree:\040padded.tar:\040corrupt\040layer:'* ]] || show "no abort line"
	run --separate-stderr tar2tree --diff-id sha256:12 layer.tar
	assert_error tar2tree 2 '--diff-id: not a digest: want sha256: and 64 hex digits'
	assert_no_debris layer.tar padded.tar out
}

@test "references instead of files: the hint works" {
	image
	cp layer.tar "a layer.tar"
	mkdir sub
	cp -r demo sub/
	for ref in demo:demo oci:demo:demo ./sub/demo:demo image.tar:demo oci-archive:image.tar:demo; do
		run --separate-stderr tar2tree -o out "$ref" "a layer.tar"
		assert_error tar2tree 1 'no such file or directory'
		hint=${stderr##*hint: oci-fetch takes references: }
		[[ $hint == *" | tar2tree - 'a layer.tar'" ]] || show "the layer above is not in it"
		bash -c "$hint" >got || fail "$hint does not work"
		tar2tree image.tar layer.tar | cmp - got
	done
	run --separate-stderr tar2tree -o out alpine:latest
	assert_error tar2tree 1 'alpine:latest: open: no such file or directory'
	[[ $stderr == *'hint: oci-fetch takes references: oci-fetch alpine:latest | tar2tree' ]] || show "no hint"
	for ref in none.tar:x/ oci:none:demo NONE:demo; do
		run --separate-stderr tar2tree -o out "$ref"
		[ "$status" = 1 ] && [[ $stderr != *hint:* ]] || show "a hint that cannot work"
	done
}

@test "an only input is named, and a layer once" {
	image
	head -c 50000 layer.tar >cut.tar
	head -c 3000 image.tar >cutimage.tar
	gzip -c layer.tar | head -c 200 >cut.gz
	for c in 'cut.tar|cut.tar: ' 'cutimage.tar|cutimage.tar: archive is cut short at byte 3000' 'cut.gz|cut.gz: ' 'cut.gz layer.tar|cut.gz: ' \
		'image.tar cut.gz|cut.gz: ' 'image.tar none.tar|none.tar: open: ' 'none/x.tar|none/x.tar: directory none: ' 'empty|empty: ' '--input layer image|image: '; do
		mkdir -p empty image
		# shellcheck disable=SC2086 # several words
		run --separate-stderr tar2tree -o out ${c%%|*}
		assert_error tar2tree 1 "tar2tree: ${c#*|}"
		[[ $stderr != *"see the message"* ]] || show "no stage wrote it"
	done
	run --separate-stderr bash -c 'tar2tree cut.tar | tree2tar -o out'
	[[ $stderr == *'tree2tar: earlier stage failed: tar2tree: cut.tar: '* ]] || show "not named downstream"
	blob=$(oci-fetch --list --digests oci:demo | sed -n '2s|:|/|p')
	printf x | dd of="demo/blobs/$blob" bs=1 seek=4 conv=notrunc status=none
	run --separate-stderr tar2tree -o out demo
	assert_error tar2tree 1 'tar2tree: demo: layer 1: '
	[[ $stderr != *'layer 1: '*'layer 1: '* ]] || show "the layer is named twice"
	run --separate-stderr tar2tree -o out demo layer.tar
	assert_error tar2tree 1 'tar2tree: demo: layer 1: '
	run --separate-stderr tar2tree -o out --layer 1 demo
	assert_error tar2tree 1 'tar2tree: demo: layer 1: '
	run --separate-stderr oci-fetch -o out oci:demo
	assert_error oci-fetch 1 'oci-fetch: demo: layer 1: '
}

@test "an only stream or image is named" {
	small_layer layer.tar
	tar2tree layer.tar >tree
	tar2tree layer.tar | tree2erofs -o erofs
	head -c 3000 tree >cut.tree
	head -c 5000 erofs >cut.erofs
	for tool in tree2tar tree2erofs tree2ext4 'mkext4upper --size 64M --tree'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr $tool cut.tree -o out
		assert_error "${tool%% *}" 1 "${tool%% *}: cut.tree: "
		assert_error "${tool%% *}" 1 "tree stream is cut short at byte 3000"
		# shellcheck disable=SC2086 # several words
		run --separate-stderr $tool layer.tar -o out
		assert_error "${tool%% *}" 1 "${tool%% *}: layer.tar: "
		# shellcheck disable=SC2086 # several words
		run --separate-stderr $tool tree -o none/out
		assert_error "${tool%% *}" 1 "${tool%% *}: none/out: directory none: no such file or directory"
	done
	run --separate-stderr erofs2tree cut.erofs -o out
	assert_error erofs2tree 1 'erofs2tree: cut.erofs: '
	run --separate-stderr wrap-vmdk erofs -o none/out
	assert_error wrap-vmdk 1 'directory none: no such file or directory'
	long=$(printf 'x%.0s' {1..4000})
	run --separate-stderr tree2tar "$long"
	assert_status 1
	[[ ${#stderr} -lt 600 && $stderr == "tree2tar: xxx"*"[...]"*"xxx: open: file name too long" ]] || show "not short"
}

@test "--no-verify makes the same tree of an image" {
	image
	run --separate-stderr bash -c 'tar2tree --no-verify demo | cmp - <(tar2tree demo) && tar2tree --no-verify - layer.tar <image.tar | cmp - <(tar2tree image.tar layer.tar)'
	assert_ok
	blob=$(find demo/blobs/sha256 -type f -size +3k | head -n 1)
	printf X | dd of="$blob" bs=1 seek=2000 conv=notrunc status=none
	run --separate-stderr tar2tree --no-verify -o out demo
	assert_status 1
	run --separate-stderr tar2tree --no-verify -o out layer.tar
	assert_error tar2tree 2 '--no-verify is for an image; a layer is hashed only for --diff-id'
	assert_no_debris layer.tar demo image.tar
}

@test "usage errors" {
	image
	run --separate-stderr tar2tree --input=tar layer.tar
	assert_error tar2tree 2 '--input'
	run --separate-stderr tar2tree -o out --layer 0 layer.tar
	assert_error tar2tree 2 'need an image; the input is a layer'
	run --separate-stderr tar2tree -o out --layer 0 layer.tar layer.tar
	assert_error tar2tree 2 'take a single input'
	run --separate-stderr tar2tree -o out --diff-id "sha256:$(printf '%064d' 0)" image.tar
	assert_error tar2tree 2 '--diff-id is for a single layer'
	run --separate-stderr tar2tree --max-file-size=much layer.tar
	assert_error tar2tree 2 '"much" is not a size'
	run --separate-stderr tar2tree -o layer.tar layer.tar
	assert_error tar2tree 2 'layer.tar: is input and output at once'
	tar -tf layer.tar >/dev/null || fail "the input was changed"
	assert_no_debris layer.tar demo image.tar
}

@test "missing and empty input" {
	run --separate-stderr tar2tree -o out none.tar
	assert_error tar2tree 1 'none.tar: open: no such file or directory'
	run --separate-stderr tar2tree -o out oci:demo:demo
	assert_error tar2tree 1 'oci:demo:demo: open: no such file or directory'
	[[ $stderr != *hint:* ]] || show "a hint at what is not there either"
	run --separate-stderr tar2tree -o out layer.tar none.tar
	assert_error tar2tree 1 'none.tar: open: no such file or directory'
	run --separate-stderr tar2tree -o out /dev/null
	assert_error tar2tree 1 '/dev/null: the input is empty'
	[[ $stderr != *stage* ]] || show "no stage wrote it"
	run --separate-stderr bash -c 'true | tar2tree -o out'
	assert_error tar2tree 1 'tar2tree: the input is empty (see the message of the stage that wrote it)'
	mkdir empty
	run --separate-stderr tar2tree -o out empty
	assert_error tar2tree 1 'empty'
	run --separate-stderr tar2tree -o out --tmpdir none layer.tar layer.tar
	assert_error tar2tree 1 'make spool file: '
	rmdir empty
	assert_no_debris layer.tar
}

@test "truncated input" {
	gzip -k layer.tar
	size=$(stat -c %s layer.tar)
	echo before >out
	for n in 1 511 512 513 2048 50000 $((size - 10240)) 50688; do
		run --separate-stderr bash -c "head -c $n layer.tar | tar2tree -o out"
		assert_error tar2tree 1 'layer is cut short at byte '
	done
	for n in 3 30 $(($(stat -c %s layer.tar.gz) / 2)) $(($(stat -c %s layer.tar.gz) - 1)); do
		run --separate-stderr bash -c "head -c $n layer.tar.gz | tar2tree -o out"
		assert_error tar2tree 1 'cut short'
		run --separate-stderr bash -c "head -c $n layer.tar.gz | tar2tree --sort >fresh"
		assert_error tar2tree 1 'cut short'
	done
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris layer.tar layer.tar.gz out fresh
}

@test "a tar without its end" {
	tar -b 1 -cf short.tar -C / --files-from /dev/null
	small_layer whole.tar
	end=$(($(tar -tRf whole.tar --show-omitted-dirs | tail -n 1 | sed 's/block \([0-9]*\):.*/\1/') * 512))
	head -c "$end" whole.tar >cut.tar
	run --separate-stderr tar2tree -o out cut.tar
	assert_error tar2tree 1 'no end-of-archive blocks'
	run --separate-stderr bash -c 'tar2tree --allow-unterminated cut.tar | cmp - <(tar2tree whole.tar)'
	assert_ok
	run --separate-stderr tar2tree -o out --diff-id "sha256:$(sha256sum <cut.tar | cut -d' ' -f1)" cut.tar
	assert_ok
}

@test "corrupt input" {
	gzip -k layer.tar
	size=$(stat -c %s layer.tar.gz)
	printf XXXX | dd of=layer.tar.gz bs=1 seek=$((size - 8)) conv=notrunc status=none
	run --separate-stderr tar2tree -o out layer.tar.gz
	assert_error tar2tree 1 'corrupt layer: gzip: '
	printf X | dd of=layer.tar bs=1 seek=520 conv=notrunc status=none
	run --separate-stderr tar2tree -o out layer.tar
	assert_error tar2tree 1 'corrupt layer: byte 512 of the tar: header checksum does not match'
	seq 100000 | tr 0-9 '\1-\12' >junk
	run --separate-stderr tar2tree -o out junk
	assert_error tar2tree 1 'corrupt layer: byte 0 of the tar: '
	seq 100000 >junk
	run --separate-stderr tar2tree -o out junk
	assert_error tar2tree 1 'junk: is text, not a tar archive'
	rm junk
	assert_no_debris layer.tar layer.tar.gz
}

@test "hostile names, and links to nowhere" {
	tar -P -cf up --transform 's,^,../,' layer.tar
	run --separate-stderr tar2tree -o out up
	assert_error tar2tree 1 'corrupt layer: entry "../layer.tar": path component ".."'
	layer_of bad d/.wh.
	run --separate-stderr tar2tree -o out bad
	assert_error tar2tree 1 'entry "d/.wh.": not a name that a whiteout can hide'
	touch a && ln a b
	tar -cf link a b && tar --delete -f link a
	run --separate-stderr tar2tree -o out link link
	assert_error tar2tree 1 'link: b: hard link to a in a layer below: it does not exist'
	run --separate-stderr listing link
	assert_ok
	assert_output './b type=file mode=0644 uid=0 gid=0 time=0.000000000 size=0 hardlink=./a lower'
	rm up bad link a b
	assert_no_debris layer.tar
}

@test "reserved attributes are dropped with one warning, zero devices refused" {
	need python3
	python3 - <<'EOF'
import tarfile
with tarfile.open("x.tar", "w", format=tarfile.PAX_FORMAT) as t:
    for name in "a", "b":
        i = tarfile.TarInfo(name)
        i.pax_headers = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.kept": "k"}
        t.addfile(i)
with tarfile.open("zero.tar", "w") as t:
    i = tarfile.TarInfo("zero")
    i.type = tarfile.CHRTYPE
    t.addfile(i)
EOF
	run --separate-stderr listing x.tar
	assert_status 0
	[[ $output == *xattr.user.kept=aw==* && $output != *overlay* ]] || show "attributes"
	[ "$stderr" = 'tar2tree: warning: a: extended attribute trusted.overlay.redirect dropped: a layer may not steer overlayfs
tar2tree: warning: 2 reserved extended attributes dropped in all' ] || show "other warnings"
	run --separate-stderr listing --quiet x.tar
	assert_ok
	run --separate-stderr tar2tree -o out zero.tar
	assert_error tar2tree 1 'zero: corrupt layer: character device 0:0, which would hide what lies below'
	[[ $stderr == *'tar2tree: hint: --allow-zero-device drops such entries' ]] || show "no hint"
	run --separate-stderr tar2tree --no-data --allow-zero-device zero.tar
	assert_ok
	[[ $output == *'#end records=0 '* ]] || show "records"
	assert_no_debris layer.tar x.tar zero.tar
}

@test "limits name their flags" {
	layer_of deep a/b/c/d
	for limit in --max-entries=2 --max-file-size=99999 --max-total-size=100003 --max-tree-memory=1000; do
		for more in '' --sort; do
			# shellcheck disable=SC2086 # no word where it is empty
			run --separate-stderr tar2tree -o out $limit $more layer.tar
			assert_error tar2tree 1 'over the limit of'
			[[ $stderr == *"tar2tree: hint: ${limit%=*} raises the limit" ]] || show "no hint"
		done
	done
	run --separate-stderr tar2tree -o out --max-depth=3 deep
	assert_error tar2tree 1 'a/b/c/d: 4 path components, over the limit of 3'
	run --separate-stderr tar2tree -o out --max-entries=7 --max-file-size=100000 --max-total-size=100004 layer.tar
	assert_ok
	assert_no_debris layer.tar deep out
}

@test "holes are hashed up to a limit" {
	truncate -s 15T hole
	tar --sparse -cf hole.tar hole
	rm hole
	run --separate-stderr tar2tree --no-data --digest -o out hole.tar
	assert_error tar2tree 1 'hole: 16492674416640 bytes of holes to hash up to here, over the limit of 137438953472'
	[[ $stderr == *'tar2tree: hint: --max-digest-holes raises the limit' ]] || show "no hint"
	run --separate-stderr tar2tree --no-data -o out hole.tar
	assert_ok
	tar2tree hole.tar | tree2erofs >image
	run --separate-stderr erofs2tree --no-data --digest -o out image
	assert_error erofs2tree 1 'hole: 16492674416640 bytes of holes to hash up to here'
	truncate -s 1M hole
	tar --sparse -cf hole.tar hole
	run --separate-stderr tar2tree --no-data --digest --max-digest-holes=1M -o out hole.tar
	assert_ok
	[[ $(<out) == *" sha256digest=$(sha256sum hole | cut -d' ' -f1)"* ]] || fail "another digest"
	assert_no_debris layer.tar hole hole.tar image out
}

@test "/dev/full" {
	run --separate-stderr bash -c 'tar2tree layer.tar >/dev/full'
	assert_error tar2tree 1 'standard output: write: no space left on device'
	run --separate-stderr bash -c 'tar2tree --no-data layer.tar >/dev/full'
	assert_error tar2tree 1 'standard output: write: no space left on device'
	assert_no_debris layer.tar
}

@test "closed pipe" {
	head -c 20000000 /dev/zero >zeros
	tar -cf large.tar zeros
	run --separate-stderr bash -c 'tar2tree large.tar | head -c 100 >/dev/null; exit "${PIPESTATUS[0]}"'
	assert_status 141
	[ -z "$stderr" ] || show "standard error is not empty"
	rm zeros
	assert_no_debris layer.tar large.tar
}

@test "interrupt" {
	for signal in INT TERM HUP; do
		echo before >kept
		interrupted "$signal" tar2tree -o kept
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ] || show "not ended by SIG$signal"
		[ "$(<kept)" = before ] || fail "the target was changed"
		[ -z "$stderr" ] || show "standard error is not empty"
	done
	assert_no_debris layer.tar kept
}

@test "target that cannot be written" {
	run --separate-stderr tar2tree -o none/out layer.tar
	assert_error tar2tree 1 'none'
	mkdir dir
	run --separate-stderr tar2tree -o dir layer.tar
	assert_error tar2tree 1 'dir'
	assert_no_debris layer.tar dir
}

@test "terminal as standard output" {
	on_terminal 'tar2tree layer.tar'
	assert_status 2
	[[ $output == *'tar2tree: standard output: is a terminal, and the data is binary'* ]] || show "another message"
	on_terminal 'tar2tree --no-data layer.tar'
	assert_status 0
	[[ $output == *'./etc/hostname type=file'* ]] || show "no listing"
	on_terminal 'tar2tree -o out'
	assert_status 2
	[[ $output == *'standard input: is a terminal'* ]] || show "another message"
	assert_no_debris layer.tar
}

@test "the stage before is killed" {
	need gzip
	head -c 3000000 /dev/urandom >random
	tar -cf large.tar random
	run --separate-stderr bash -c '{ head -c 1000000 large.tar; kill -KILL $BASHPID; } | tar2tree -o out; exit "${PIPESTATUS[1]}"'
	assert_status 1
	assert_output ''
	[[ $stderr == *'tar2tree: random: layer is cut short at byte 1000000 of the tar'* ]] || show "another message"
	rm random
	assert_no_debris layer.tar large.tar
}

@test "the next stage tells the cause" {
	run --separate-stderr bash -c 'head -c 1000 layer.tar | tar2tree 2>/dev/null | tree2erofs -o out'
	assert_error tree2erofs 1 'earlier stage failed: tar2tree: layer is cut short at byte 1000 of the tar'
	run --separate-stderr bash -c 'tar2tree none 2>/dev/null | tree2erofs -o out'
	assert_error tree2erofs 1 'earlier stage failed: tar2tree: '
	assert_no_debris layer.tar
}

@test "the same bytes under other circumstances" {
	image
	tar2tree demo >want
	mkdir other
	(cd / && umask 077 && TZ=Asia/Tokyo TMPDIR=$OLDPWD/other GOMAXPROCS=1 tar2tree "$OLDPWD/demo" | cmp - "$OLDPWD/want")
}
