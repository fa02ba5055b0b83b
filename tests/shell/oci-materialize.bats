# oci-materialize: what it makes, from what, over the cache, and failures.

load helpers
load registries
setup() {
	common_setup
	registries_setup
	demo_image demo
	export OCIPIPE_CACHE=$PWD/cache
}
teardown() {
	stop_registries
	unmount_all
}

# field JQ is something of what the last run printed.
field() { jq -r "$1" <<<"$output"; }

# piped DIR makes with the filters what oci-materialize makes of the demo image.
piped() {
	mkdir -p "$1/layers" "$1/disk"
	local n=0 d
	for d in $(oci-fetch --list --digests oci:demo:demo); do
		oci-fetch --layer "$d" oci:demo:demo | tar2tree --input layer | tree2erofs --quiet --layer -o "$1/layers/$n.erofs"
		n=$((n + 1))
	done
	tree2erofs --fsmeta -o "$1/fsmeta.erofs" "$1"/layers/*.erofs
	tree2erofs --fsmeta --device-table=no -o "$1/no-table.erofs" "$1"/layers/*.erofs
	wrap-vmdk -o "$1/disk/disk.vmdk" "$1/fsmeta.erofs" "$1"/layers/*.erofs
	oci-fetch oci:demo:demo | tar2tree | tree2erofs -o "$1/flat.erofs"
	oci-fetch oci:demo:demo | tar2tree | tree2ext4 -o "$1/flat.ext4"
	mkext4upper --size 64M --root-from "$1/fsmeta.erofs" -o "$1/upper.ext4"
}

# extents VMDK lists the sizes of the extents and the identifier of a descriptor.
extents() { sed -n 's/^CID=/&/p; s/^\(RW [0-9]* FLAT\).*/\1/p' "$1"; }

@test "every artifact has the bytes that the filters make" {
	piped by
	run --separate-stderr oci-materialize --target all --upper 64M=upper.ext4 oci:demo:demo
	assert_ok
	n=0
	for f in $(field '.layers[].path'); do
		cmp "$f" by/layers/$n.erofs
		n=$((n + 1))
	done
	[ "$n" -eq 3 ] || show "$n layers"
	cmp "$(field .fsmeta.path)" by/fsmeta.erofs
	cmp "$(field .flat.path)" by/flat.erofs
	cmp upper.ext4 by/upper.ext4
	[ "$(extents "$(field .vmdk.path)")" = "$(extents by/disk/disk.vmdk)" ] || fail "$(<"$(field .vmdk.path)")"
	[ "sha256:$(sha256sum <by/flat.erofs | cut -d' ' -f1)" = "$(field .flat.digest)" ] || show "wrong digest"
	[ "sha256:$(sha256sum <by/fsmeta.erofs | cut -d' ' -f1)" = "$(field .fsmeta.digest)" ] || show "wrong digest"
	cmp "$(oci-materialize --target flat --format ext4 --print flat oci:demo:demo)" by/flat.ext4
	cmp "$(oci-materialize --device-table no --print fsmeta oci:demo:demo)" by/no-table.erofs
	SOURCE_DATE_EPOCH=5 oci-materialize oci:demo:demo --force --print fsmeta >path
	cmp "$(<path)" by/fsmeta.erofs
	SOURCE_DATE_EPOCH=5 oci-materialize --target flat --print flat --mtime 7 oci:demo:demo >path
	oci-fetch oci:demo:demo | tar2tree | SOURCE_DATE_EPOCH=5 tree2erofs --mtime 7 | cmp - "$(<path)"
}

@test "the same bytes under other circumstances" {
	OCIPIPE_CACHE=one oci-materialize --target all oci:demo:demo >/dev/null
	mkdir elsewhere
	(cd elsewhere && umask 077 && TZ=Asia/Tokyo GOMAXPROCS=1 oci-materialize -j 1 --cache ../two --target all oci:../demo:demo >/dev/null)
	for kind in layers fsmeta vmdk rootfs; do
		diff -r one/$kind two/$kind
	done
	mv one elsewhere/moved # the disk goes with its cache
	need qemu-img
	run --separate-stderr qemu-img info --output json elsewhere/moved/vmdk/*/sha256/*.vmdk
	assert_ok
	run --separate-stderr wrap-vmdk --check elsewhere/moved/vmdk/*/sha256/*.vmdk
	assert_ok
}

@test "what is printed" {
	run --separate-stderr oci-materialize --target all --upper 64M=upper.ext4 oci:demo:demo
	assert_ok
	[ "$(field '.version, .hit, .platform, .abi, (.layers | length), .reference, .upper.disk_size')" = $'1\nfalse\nlinux/amd64\n3\n3\n\n67108864' ] || show "another text"
	[ "$(field '.manifest.digest')" = "sha256:$(oci-fetch --manifest oci:demo | sha256sum | cut -d' ' -f1)" ] || show "another manifest"
	[ "$(field '.config.digest')" = "sha256:$(oci-fetch --config oci:demo | sha256sum | cut -d' ' -f1)" ] || show "another configuration"
	[ "$(field '.layers[].digest')" = "$(digests oci:demo)" ] || show "other layers"
	[ "$(field '.layers[].diff_id')" = "$(oci-fetch --config oci:demo | jq -r '.rootfs.diff_ids[]')" ] || show "other diff-ids"
	[ "$(field '.process.argv | length')" -ge 0 ] || show "no process"
	[ "$(field '[.layers[], .fsmeta, .vmdk, .flat | .built] | unique | .[]')" = true ] || show "not built"
	for f in $(field '.layers[].path, .fsmeta.path, .vmdk.path, .flat.path, .upper.path'); do
		[[ $f = /* && -s $f ]] || fail "$f is no file"
	done
	layers=$(field '.layers[].path') vmdk=$(field .vmdk.path)
	run --separate-stderr oci-materialize --target all oci:demo:demo
	[ "$(field '.hit, .upper, ([.layers[], .fsmeta, .vmdk, .flat | .built] | unique | .[])')" = $'true\nnull\nfalse' ] || show "not a hit"
	[ "$(oci-materialize --print layers oci:demo:demo)" = "$layers" ] || fail "other layers"
	run --separate-stderr oci-materialize --print vmdk -o path --vm-config vm oci:demo:demo
	assert_ok
	[ "$(<path)" = "$vmdk" ] || fail "$(<path)"
	[ "$(jq -c .argv vm/config.json)" = "$(jq -c .process.argv <(oci-materialize oci:demo:demo))" ] || fail "$(<vm/config.json)"
}

@test "an image from a registry, then without it" {
	docker_registry
	push demo:demo r:v1
	run --separate-stderr oci-materialize "$reg/r:v1"
	assert_ok
	[ "$(field '.reference, .hit')" = "$reg/r:v1"$'\nfalse' ] || show "another reference"
	need umoci
	skopeo inspect "oci:cache:$reg/r:v1" >/dev/null # others read it in the cache
	stop_registries
	run --separate-stderr oci-materialize --pull never "$reg/r:v1"
	assert_ok
	[ "$(field .hit)" = true ] || show "not a hit"
	run --separate-stderr oci-materialize --pull never --target flat "$reg/r:v1"
	assert_ok
	[ "$(field '.hit, .layers[0].built, .flat.built')" = $'false\nfalse\ntrue' ] || show "not from the layers"
	run --separate-stderr oci-materialize --pull never "$reg/other:v1"
	assert_error oci-materialize 1 "$reg/other:v1: not found in the cache "
}

@test "an image on standard input is kept under a name" {
	need skopeo
	skopeo --insecure-policy copy --quiet oci:demo:demo docker-archive:save.tar:demo:1
	run --separate-stderr bash -c 'cat save.tar | oci-materialize --as example.org/app docker-archive:-'
	assert_ok
	[ "$(field .reference)" = example.org/app:latest ] || show "another name"
	rm save.tar
	run --separate-stderr oci-materialize --pull never example.org/app
	assert_ok
	[ "$(field .hit)" = true ] || show "not a hit"
	[ "$(oci-fetch --pull never --list --digests example.org/app | wc -l)" = 3 ] || fail "its layers are not there"
}

@test "--keep-blobs=no: the layers leave the cache, and the image stays" {
	docker_registry
	push demo:demo r:v1
	run --separate-stderr oci-materialize --keep-blobs no "$reg/r:v1"
	assert_ok
	for d in $(field '.layers[].digest'); do
		[ ! -e "cache/blobs/${d/://}" ] || fail "$d is kept"
	done
	[ "$(jq -r '.manifests | length' cache/index.json)" = 0 ] || fail "$(<cache/index.json)"
	run --separate-stderr oci-materialize --pull never --target all "$reg/r:v1"
	assert_ok
	[ "$(field '.layers[0].built')" = false ] || show "built again"
}

@test "the kernel mounts the disk, and it is the merged tree" {
	need_guest
	oci-materialize --target all oci:demo:demo >made
	fsmeta=$(jq -r .fsmeta.path made)
	mapfile -t layers < <(jq -r '.layers[].path' made)
	loops=()
	for f in "${layers[@]}"; do
		loop=$(losetup --find --show --read-only "$f") || skip_or_fail "no loop devices here"
		loops+=("$loop")
	done
	mkdir disk
	mount -t erofs -o "ro,loop$(printf ',device=%s' "${loops[@]}")" "$fsmeta" disk || { losetup -d "${loops[@]}"; skip_or_fail "mounting is not allowed here"; }
	guest disk >seen
	umount disk
	losetup -d "${loops[@]}"
	mount_image erofs "$(jq -r .flat.path made)" flat
	guest flat >seen.flat
	oci-fetch oci:demo:demo | tar2tree --no-data --digest | grep -v '^#' >want
	cmp seen want
	cmp seen.flat want
}

@test "a damaged artifact is named, and made again" {
	vmdk=$(oci-materialize --print vmdk oci:demo:demo)
	fsmeta=$(oci-materialize --print fsmeta oci:demo:demo)
	layer=$(oci-materialize --print layers oci:demo:demo | head -n 1)
	for f in "$vmdk" "$fsmeta" "$layer"; do
		cp "$f" good
		truncate -s -512 "$f"
		run --separate-stderr oci-materialize --print vmdk oci:demo:demo
		assert_status 0
		[[ $stderr == "oci-materialize: warning: $f: "*": built anew" ]] || show "not named"
		cmp "$f" good
	done
	printf x | dd of="$layer" bs=1 seek=$(($(stat -c %s "$layer") - 5000)) conv=notrunc status=none
	run --separate-stderr oci-materialize --print vmdk oci:demo:demo
	assert_ok # its size is right
	run --separate-stderr oci-materialize --verify-cache --print vmdk oci:demo:demo
	assert_status 0
	[[ $stderr == "oci-materialize: warning: $layer: "*": built anew" ]] || show "not named"
	run --separate-stderr oci-materialize --verify-cache --print vmdk oci:demo:demo
	assert_ok
}

@test "what is damaged, or in the way, in the cache" {
	oci-materialize --as one --target flat --format ext4 --size 8M oci:demo:demo >first
	flat=$(jq -r .flat.path first)
	cp "$flat" good
	echo more >>"$flat"
	run --separate-stderr oci-materialize --pull never --target flat --format ext4 --size 8M --print flat one
	assert_status 0
	[[ $stderr == "oci-materialize: warning: $flat: "*": built anew" ]] || show "not named"
	cmp "$flat" good
	echo '{' >cache/index.json
	mkfifo cache/refs.json
	sleep 1000 3>&- <>cache/refs.json & # a writer that writes nothing
	writer=$!
	run --separate-stderr timeout 20 oci-materialize --as two oci:demo:demo
	kill $writer
	assert_status 0
	[[ $stderr == *"$PWD/cache/index.json: not an index: "*": begun anew, and kept as $PWD/cache/index.json.damaged"* ]] || show "not named"
	[ "$(<cache/index.json.damaged)" = '{' ] || fail "$(<cache/index.json.damaged)"
	run --separate-stderr oci-materialize --pull never two
	assert_ok
	layer=$(jq -r '.layers[0].path' first)
	rm -f "$layer"
	mkdir "$layer"
	run --separate-stderr oci-materialize --pull never two
	assert_status 0
	[ "$stderr" = "oci-materialize: warning: $layer: not a regular file: not used" ] || show "not named once"
	rm "$layer"
	mkdir -p "$layer/x"
	run --separate-stderr oci-materialize --pull never two
	assert_status 1
	[[ $stderr == *"oci-materialize: two: cannot write to the cache: $layer: a directory is in the way: directory not empty"* ]] || show "not named"
}

@test "an image without layers is an empty directory" {
	mkdir -p none/blobs/sha256
	echo '{"imageLayoutVersion":"1.0.0"}' >none/oci-layout
	blob() { # of standard input: its descriptor
		cat >blob.tmp
		d=$(sha256sum <blob.tmp | cut -d' ' -f1)
		jq -nc --arg t "application/vnd.oci.image.$1.v1+json" --arg d "sha256:$d" --argjson s "$(stat -c %s blob.tmp)" '{mediaType: $t, digest: $d, size: $s}'
		mv blob.tmp "none/blobs/sha256/$d"
	}
	config=$(echo '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}' | blob config)
	manifest=$(jq -nc --argjson c "$config" '{schemaVersion: 2, config: $c, layers: []}' | blob manifest)
	jq -nc --argjson m "$manifest" '{schemaVersion: 2, manifests: [$m]}' >none/index.json
	for target in layers fsmeta vmdk flat all; do
		run --separate-stderr oci-materialize --target $target --upper 64M=upper.ext4 oci:none
		assert_ok
		for f in $(field '.fsmeta.path, .flat.path | strings'); do
			[ "$(erofs2tree --no-data "$f" | grep -vc '^#')" = 1 ] || fail "$target: $f"
		done
	done
}

@test "a read-only cache serves what it has" {
	need_root
	oci-materialize oci:demo:demo >/dev/null
	mkdir ro
	mount --bind cache ro || skip_or_fail "mounting is not allowed here"
	mount -o remount,bind,ro ro
	run --separate-stderr oci-materialize --cache ro oci:demo:demo
	assert_ok
	[ "$(field .hit)" = true ] || show "not a hit"
	run --separate-stderr oci-materialize --cache ro --target flat oci:demo:demo
	assert_error oci-materialize 1 'cannot write to the cache: '
	umount ro
}

@test "a full disk: the cache stays valid, and the next run goes on" {
	need_root
	big=$BATS_TEST_TMPDIR/big
	mkdir "$big"
	head -c 6000000 /dev/urandom >"$big/random"
	tar -C "$big" -cf layer.tar random
	jq -n --arg layer "sha256:$(sha256sum <layer.tar | cut -d' ' -f1)" '{architecture: "amd64", os: "linux", rootfs: {type: "layers", diff_ids: [$layer]}}' >config.json
	echo '[{"Config": "config.json", "RepoTags": ["big:1"], "Layers": ["layer.tar"]}]' >manifest.json
	tar -cf big.tar manifest.json config.json layer.tar
	for size in 2M 8M 15M; do
		full_disk $size
		run --separate-stderr oci-materialize --cache full/cache --target all --upper 64M=full/upper.ext4 --as big:1 docker-archive:big.tar
		assert_status 1
		[[ ${stderr##*$'\noci-materialize: '} == *'no space left on device' ]] || show "another error"
		[ -z "$(find full/cache/tmp -type f -name '*erofs*' 2>/dev/null)" ] || fail "$(find full)"
		[ ! -e full/upper.ext4 ] || fail "a disk is there"
		mount -o remount,size=64M full
		run --separate-stderr oci-materialize --cache full/cache --target all --as big:1 docker-archive:big.tar
		assert_ok
		umount full
		rmdir full
	done
}

@test "failures, in one line" {
	run --separate-stderr oci-materialize oci:absent
	assert_error oci-materialize 1 'absent'
	echo '{' >broken.tar
	run --separate-stderr oci-materialize oci-archive:broken.tar
	assert_error oci-materialize 1 'broken.tar'
	oci-fetch oci:demo:demo >a.tar
	truncate -s 70% a.tar 2>/dev/null || head -c $(($(stat -c %s a.tar) * 7 / 10)) a.tar >cut.tar
	run --separate-stderr bash -c 'cat cut.tar | oci-materialize oci-archive:-'
	assert_error oci-materialize 1 ''
	run --separate-stderr oci-materialize --upper 64M=absent/upper.ext4 oci:demo
	assert_error oci-materialize 1 'absent/upper.ext4'
	run --separate-stderr oci-materialize --cache /proc/none oci:demo
	assert_error oci-materialize 1 '/proc/none'
	touch file
	run --separate-stderr oci-materialize --cache file oci:demo
	assert_error oci-materialize 1 'not a cache'
}

@test "an ext4 image that is too small names the flag that helps" {
	run --separate-stderr oci-materialize --target flat --format ext4 --size 2M oci:demo:demo
	assert_error oci-materialize 1 ''
	size=$(sed -n 's/.*hint: --size \(.*\) is enough/\1/p' <<<"$stderr")
	run --separate-stderr oci-materialize --target flat --format ext4 --size "$size" oci:demo:demo
	assert_ok
}

@test "an upper disk takes the place of nothing that is needed" {
	oci-fetch oci:demo:demo -o image.tar
	cp image.tar before.tar
	run --separate-stderr oci-materialize --upper 64M=image.tar oci-archive:image.tar
	assert_error oci-materialize 2 'input and output'
	run --separate-stderr bash -c 'oci-materialize --upper 64M=image.tar oci-archive:- <image.tar'
	assert_error oci-materialize 2 'input and output'
	cmp image.tar before.tar
	ln -s image.tar link
	run --separate-stderr oci-materialize --upper 64M=link oci-archive:image.tar
	assert_error oci-materialize 2 'input and output'
	run --separate-stderr oci-materialize --upper 64M=new -o new oci:demo:demo
	assert_error oci-materialize 2 'new: is two outputs at once'
	[ ! -e new ] || fail "something is written"
	oci-materialize oci:demo:demo >/dev/null
	cp cache/index.json before
	for file in index.json new layers/new; do
		run --separate-stderr oci-materialize --upper 64M=cache/$file oci:demo:demo
		assert_error oci-materialize 1 "cache/$file: lies in the cache"
	done
	cmp cache/index.json before
	mkfifo pipe
	for file in pipe /dev/null; do
		run --separate-stderr timeout 20 oci-materialize --upper 64M=$file oci:demo:demo
		assert_error oci-materialize 1 "$file: not a regular file"
		[ "$stderr" = "oci-materialize: $file: not a regular file" ] || show "the image is named, which has nothing to do with it" || return
	done
}

# compressible_image DIR makes a layout of two layers, whose files become smaller: DIR:x.
compressible_image() {
	mkdir files
	seq 1 60000 >files/seq
	(seq 1 3000 && head -c 300000 /dev/zero && seq 1 3000) >files/zeros-inside
	head -c 100000 /dev/urandom >files/random
	tar -C files --sort=name --mtime=@1700000000 -cf one.tar .
	seq 1 90000 >files/seq
	rm files/random
	touch files/.wh.random
	tar -C files --sort=name --mtime=@1700000000 -cf two.tar ./seq ./.wh.random
	mkdir -p "$1/blobs/sha256"
	echo '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
	local list='[]' f d
	add() { # FILE TYPE: its descriptor
		d=$(sha256sum <"$1" | cut -d' ' -f1)
		cp "$1" "$image/blobs/sha256/$d"
		jq -nc --arg t "application/vnd.oci.image.$2" --arg d "sha256:$d" --argjson s "$(stat -c %s "$1")" '{mediaType: $t, digest: $d, size: $s}'
	}
	image=$1
	for f in one.tar two.tar; do
		list=$(jq -c --argjson l "$(add $f layer.v1.tar)" '. + [$l]' <<<"$list")
	done
	jq -nc --argjson l "$list" '{architecture: "amd64", os: "linux", rootfs: {type: "layers", diff_ids: [$l[].digest]}}' >config
	jq -nc --argjson c "$(add config config.v1+json)" --argjson l "$list" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $c, layers: $l}' >manifest
	jq -nc --argjson m "$(add manifest manifest.v1+json)" '{schemaVersion: 2, manifests: [$m + {annotations: {"org.opencontainers.image.ref.name": "x"}}]}' >"$1/index.json"
}

@test "compressed artifacts have the bytes that the filters make" {
	compressible_image small
	printf '*.log none\nseq lz4\n' >hints
	for flags in '-z lz4' '-z lz4hc,4 --pcluster 16K' '-z zstd' '-z deflate --extents encoded' '-z zstd,9 --compress-hints hints'; do
		# shellcheck disable=SC2086 # several flags
		run --separate-stderr oci-materialize --quiet --target all $flags oci:small:x
		assert_ok
		mapfile -t layers < <(field '.layers[].path')
		rm -rf by
		mkdir by
		for n in 1 2; do
			f=one.tar
			[ $n = 1 ] || f=two.tar
			# shellcheck disable=SC2086 # several flags
			tar2tree --input layer $f | tree2erofs --quiet --layer $flags -o by/$n.erofs
			cmp "${layers[n - 1]}" by/$n.erofs
		done
		tree2erofs --quiet --fsmeta -o by/fsmeta.erofs by/1.erofs by/2.erofs
		tree2erofs --quiet --fsmeta --device-table=no -o by/no-table.erofs by/1.erofs by/2.erofs
		wrap-vmdk -o by/disk.vmdk by/fsmeta.erofs by/1.erofs by/2.erofs
		# shellcheck disable=SC2086 # several flags
		oci-fetch oci:small:x | tar2tree | tree2erofs --quiet $flags -o by/flat.erofs
		cmp "$(field .fsmeta.path)" by/fsmeta.erofs
		cmp "$(field .flat.path)" by/flat.erofs
		[ "$(extents "$(field .vmdk.path)")" = "$(extents by/disk.vmdk)" ] || fail "$(<"$(field .vmdk.path)")"
		# shellcheck disable=SC2086 # several flags
		cmp "$(oci-materialize --quiet --device-table no --print fsmeta $flags oci:small:x)" by/no-table.erofs
		# shellcheck disable=SC2086 # several flags
		run --separate-stderr oci-materialize --target all $flags oci:small:x
		assert_ok
		[ "$(field .hit)" = true ] || show "not a hit"
	done
	run --separate-stderr oci-cache verify
	assert_ok
}

@test "plain and compressed artifacts lie side by side" {
	compressible_image small
	run --separate-stderr oci-materialize oci:small:x
	assert_ok
	plain=$(field '.layers[].path, .fsmeta.path, .vmdk.path')
	[ "$(field .compression)" = null ] || show "compressed"
	run --separate-stderr oci-materialize -z zstd oci:small:x
	assert_status 0
	[ "$stderr" = 'oci-materialize: warning: only Linux 6.10 and later can mount the image, with CONFIG_EROFS_FS_ZIP_ZSTD' ] || show "another warning"
	[ "$(field '.hit, (.compression | .algorithm, .level, .pcluster, .extents)')" = $'false\nzstd\n3\n65536\nindex' ] || show "another text"
	small=$(field '.layers[].path, .fsmeta.path, .vmdk.path')
	[ -z "$(comm -12 <(sort <<<"$plain") <(sort <<<"$small"))" ] || fail "the same files"
	# shellcheck disable=SC2046 # several files
	[ "$(stat -c %s $(field '.layers[].path') | awk '{s += $1} END {print s}')" -lt 300000 ] || fail "not compressed"
	for flags in '-z zstd' '-z zstd,3 --pcluster 64K --extents index'; do
		# shellcheck disable=SC2086 # several flags
		run --separate-stderr oci-materialize $flags oci:small:x
		assert_ok
		[ "$(field '.hit, .layers[].path, .fsmeta.path, .vmdk.path')" = true$'\n'"$small" ] || show "not a hit"
	done
	for flags in '' '-z none'; do
		# shellcheck disable=SC2086 # several flags
		run --separate-stderr oci-materialize $flags oci:small:x
		assert_ok
		[ "$(field '.hit, .layers[].path, .fsmeta.path, .vmdk.path')" = true$'\n'"$plain" ] || show "not a hit"
	done
	run --separate-stderr wrap-vmdk --check "$(oci-materialize -z zstd --print vmdk oci:small:x)"
	assert_ok
}

@test "plain and compressed at once, on one cache" {
	compressible_image small
	pids=()
	for z in none lz4 zstd none lz4 zstd; do
		oci-materialize --quiet --target all -z $z oci:small:x >"$z.${#pids[@]}" 2>said.${#pids[@]} 3>&- &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || fail "$(cat said.*)"
	done
	for z in none lz4 zstd; do
		run --separate-stderr oci-materialize --target all -z $z oci:small:x
		assert_ok
		[ "$(field .hit)" = true ] || show "not a hit"
		for f in "$z".*; do
			[ "$(jq -c '[.layers[].uuid, .fsmeta.digest, .flat.digest]' "$f")" = "$(field '[.layers[].uuid, .fsmeta.digest, .flat.digest] | tojson')" ] || fail "$f differs"
		done
	done
	run --separate-stderr oci-cache verify
	assert_ok
}

@test "the kernel mounts compressed layers merged, and flat" {
	need_guest
	compressible_image small
	oci-fetch oci:small:x | tar2tree --no-data --digest | grep -v '^#' >want
	for z in lz4 zstd deflate; do
		oci-materialize --quiet --target all -z $z oci:small:x >made
		mapfile -t layers < <(jq -r '.layers[].path' made)
		loops=()
		for f in "${layers[@]}"; do
			loop=$(losetup --find --show --read-only "$f") || skip_or_fail "no loop devices here"
			loops+=("$loop")
		done
		mkdir -p disk
		mount -t erofs -o "ro,loop$(printf ',device=%s' "${loops[@]}")" "$(jq -r .fsmeta.path made)" disk || { losetup -d "${loops[@]}"; skip_or_fail "mounting is not allowed here"; }
		guest disk >seen
		umount disk
		losetup -d "${loops[@]}"
		cmp seen want
		mount_image erofs "$(jq -r .flat.path made)" flat
		guest flat >seen
		umount flat
		rmdir flat
		cmp seen want
	done
}

@test "usage errors" {
	for line in '' 'a b' '--target x oci:demo' '--format ext4 oci:demo' '--target flat --size 1G oci:demo' '--label x oci:demo' '--print flat oci:demo' \
		'--print upper oci:demo' '--target flat --print vmdk oci:demo' '--target layers --print fsmeta oci:demo' '--upper 4G oci:demo' '--upper x=y oci:demo' \
		'--upper 1M=y oci:demo' '--as x alpine' '--pull never --force alpine' '--platform linux oci:demo' '-j 0 alpine' '--keep-blobs maybe oci:demo' \
		'-z zstd,99 oci:demo' '-z lzma oci:demo' '--pcluster 64K oci:demo' '-z none --pcluster 64K oci:demo' '--extents encoded oci:demo' '-z lz4 --pcluster 5000 oci:demo' \
		'-z lz4 --pcluster 2M oci:demo' '-z lz4 --extents x oci:demo' '-z lz4 --target flat --format ext4 oci:demo' '-z lz4 --compress-hints - docker-archive:-'; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr oci-materialize $line
		assert_error oci-materialize 2 ''
	done
	for c in 'flat|--target=all' 'upper|--upper=SIZE=FILE'; do
		run --separate-stderr oci-materialize --print "${c%|*}" oci:demo
		[[ $stderr == *"--print=${c%|*}: it is not made"*"hint: ${c#*|} makes it" ]] || show "no hint"
	done
	for name in UPPER ../../x /x 'x y' x//y x:.y "x@sha256:$(printf %064d 1)"; do
		run --separate-stderr oci-materialize --cache absent --as "$name" oci:demo
		assert_error oci-materialize 2 "--as: \"$name\""
		[ ! -e absent ] || fail "there is a cache"
	done
	run --separate-stderr oci-materialize --as Up:V oci:demo
	[[ $stderr == *$'\n''oci-materialize: hint: write up:V' ]] || show "no hint"
}

@test "outputs that fail, and readers that leave" {
	run --separate-stderr bash -c 'oci-materialize oci:demo >/dev/full'
	assert_error oci-materialize 1 'no space left'
	run --separate-stderr bash -c 'oci-materialize oci:demo >&-'
	assert_status 1
	[[ $stderr == "oci-materialize: "* ]] || show "no message"
	run --separate-stderr bash -c 'oci-materialize oci:demo | true'
	assert_ok
	run --separate-stderr oci-materialize -o absent/x oci:demo
	assert_error oci-materialize 1 'absent'
}

@test "an interrupt leaves a cache that the next run uses" {
	bad_registry -image r:v1=4x3000000
	behave '{"Rate":2000000}'
	interrupted INT oci-materialize "$reg/r:v1"
	assert_status 130
	[ -z "$(find cache -name '*.erofs' -path '*tmp*')" ] || fail "$(find cache)"
	behave '{}'
	run --separate-stderr oci-materialize "$reg/r:v1"
	assert_ok
}

@test "progress in JSON says what is done" {
	run bash -c 'oci-materialize --target all --progress json oci:demo 2>&1 >/dev/null | jq -r "select(.event == \"done\" or .event == \"skip\") | .stage" 2>/dev/null | sort -u | paste -sd" "'
	[[ $output == *flat*fsmeta*layer*vmdk* ]] || fail "$output"
}
