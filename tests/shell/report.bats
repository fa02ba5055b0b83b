# --report and --report-fd: that what they say is true, by other tools.

load helpers
load registries
setup() { common_setup; }
teardown() {
	stop_registries
	unmount_all
}

# field FILTER [FILE] is what jq finds in a report, by default r.json.
field() { jq -r "$1" "${2:-r.json}"; }

# is FILTER WANT
is() { [ "$(field "$1")" = "$2" ] || fail "$1 is $(field "$1") and not $2" "$(<r.json)"; }

# describes FILE: the report is about FILE.
describes() {
	local want have
	want="sha256:$(sha256sum <"$1" | cut -d ' ' -f 1) $(stat -c %s "$1") $(($(stat -c %b "$1") * 512)) $PWD/$1 1 true"
	have=$(field "\"\(.digest) \(.size) \(.allocated) \(.output) \(.version) \(.duration_seconds <= $((SECONDS + 1)) and ([.. | nulls] == []))\"")
	[ "$have" = "$want" ] || fail "the report is about $have, and not $want" "$(<r.json)"
}

# keys are the fields of the report that not every tool has.
keys() { field 'del(.version, .tool, .tool_version, .format, .warnings, .duration_seconds) | keys_unsorted | join(" ")'; }

# all_types makes in.tree, which has a file of each type, and one that is not written out.
all_types() {
	local at='uid=0 gid=0 time=1.000000000'
	printf '%s\n' '#mtree ocipipe-tree 1 data=inline' ". type=dir mode=0755 $at" "./a type=dir mode=0755 $at" \
		"./a/f type=file mode=0644 $at size=6" 'hello' '' "./a/g type=file mode=0644 $at size=0" \
		"./a/h type=file mode=0644 $at size=6 hardlink=./a/f" "./a/i type=file mode=0644 $at size=6 hardlink=./a/f" \
		"./s1 type=link mode=0777 $at link=a" "./s2 type=link mode=0777 $at link=a" "./s3 type=link mode=0777 $at link=a" \
		"./c type=char mode=0600 $at device=native,1,3" "./b1 type=block mode=0600 $at device=native,7,0" "./b2 type=block mode=0600 $at device=native,7,1" \
		"./p type=fifo mode=0600 $at" "./q type=socket mode=0600 $at" "./implied/deep type=dir mode=0755 $at" '#end records=15 bytes=6' >in.tree
}

# found DIR is what the counts of a report say, of a tree that find sees.
found() {
	find "$1" -printf '%y %i %s\n' | awk '
		{ n["entries"]++ }
		$1 != "d" && seen[$2]++ { n["hardlinks"]++; next }
		{ n[$1]++ }
		$1 == "f" { bytes += $3 }
		END { printf "%d %d %d %d %d %d %d %d %d %d\n", n["entries"], n["f"], n["d"], n["l"], n["hardlinks"], n["c"], n["b"], n["p"], n["s"], bytes }'
}
counted='.counts | "\(.entries) \(.files) \(.directories) \(.symlinks) \(.hardlinks) \(.char_devices) \(.block_devices) \(.fifos) \(.sockets) \(.bytes)"'

@test "every way to write an image: digest and size are those of the file" {
	need jq
	small_layer layer.tar
	tar2tree -o in.tree layer.tar
	for line in 'tree2erofs -o OUT in.tree' 'tree2ext4 --shrink --no-sync -o OUT in.tree' 'mkext4upper --size 64M -o OUT' \
		'tree2tar -z gzip -o OUT in.tree' 'tar2tree --no-data --digest -o OUT layer.tar' 'erofs-patch --lower in.tree --mkdir /new -o OUT'; do
		for way in "${line/OUT/out} --report r.json" "${line/OUT/out} --report=- >r.json" "${line/OUT/out} --report-fd 5 5>r.json" "${line/OUT/out} --report-fd 5 5>&1 | cat >r.json"; do
			rm -f out r.json
			run --separate-stderr bash -c "set -o pipefail; $way"
			assert_ok
			assert_output ''
			describes out || fail "$way"
		done
		is .tool "${line%% *}"
		is .warnings 0
		[ "$(field '"\(.tool) \(.tool_version)"')" = "$("${line%% *}" --version)" ] || fail "another version"
		for way in "${line/-o OUT/} --report r.json >out" "${line/-o OUT/} --report r.json | cat >out" ": >out; ${line/-o OUT/} --report r.json >>out"; do
			rm -f out r.json
			run --separate-stderr bash -c "set -o pipefail; $way"
			assert_ok
			[ "$(field .digest)" = "sha256:$(sha256sum <out | cut -d ' ' -f 1)" ] || fail "$way: another digest"
			[ "$(field .size)" = "$(stat -c %s out)" ] || fail "$way: another size"
			[ "$(field .output)" = null ] || fail "$way: $(field .output)"
		done
	done
}

@test "the output does not change with a report" {
	small_layer layer.tar
	tar2tree layer.tar | tee one.tree | tree2erofs | tee one.erofs | erofs2tree - | tree2tar -z zstd >one.tar.zst
	tar2tree --report 1 layer.tar | tee two.tree | tree2erofs --report 2 | tee two.erofs | erofs2tree --report 3 - | tree2tar --report 4 -z zstd >two.tar.zst
	for name in tree erofs tar.zst; do cmp one.$name two.$name; done
	[ "$(jq -r .counts.entries 1 2 3 4 | uniq)" = 7 ] || fail "$(cat 1 2 3 4)"
}

@test "an EROFS image: UUID, features and counts, as others see them" {
	need jq dump.erofs blkid
	all_types
	while IFS='|' read -r flags kernel config features; do
		# shellcheck disable=SC2086 # several flags
		tree2erofs --quiet $flags --report r.json -o out in.tree
		is .format erofs
		is .uuid "$(blkid -p -o value -s UUID out)"
		is .block_size "$(blkid -p -o value -s BLOCK_SIZE out)"
		is .kernel "$kernel"
		is '.kernel_config | join(" ")' "$config"
		is '.features | join(" ")' "$features"
	done <<-END
		|5.15|EROFS_FS|
		--block-size=512|6.4|EROFS_FS|subpage_blocks
		--label=x --uuid=01234567-89ab-cdef-0123-456789abcdef|5.15|EROFS_FS|
	END
	is .uuid 01234567-89ab-cdef-0123-456789abcdef
	need_root
	mount_image erofs out mnt
	is "$counted" "$(found mnt)"
	is .counts.entries 16 # of which the stream only implies one
	unmount_all
	seq 60000 >big # more than one cluster of one block
	tar -cf big.tar big
	tar2tree big.tar -o big.tree
	while IFS='|' read -r flags kernel config features; do
		# shellcheck disable=SC2086 # several flags
		tree2erofs --quiet $flags --report r.json -o out big.tree
		is .kernel "$kernel"
		is '.kernel_config | join(" ")' "$config"
		is '.features | join(" ")' "$features"
		if [[ $flags != *block-size* && $flags != *encoded* ]]; then # of which Debian's dump.erofs knows nothing
			is .uuid "$(dump.erofs -s out | sed -n 's/^Filesystem UUID: *//p')"
			said=$(dump.erofs -s out)
			[[ $said == *0padding* ]] || fail "$said" # and big_pcluster has the bit of compr_cfgs
			[ "$([[ $features == *compr_cfgs* ]] && echo yes)" = "$([[ $said == *big_pcluster* || $said == *compr_cfgs* ]] && echo yes)" ] || fail "$said"
		fi
		# shellcheck disable=SC2086 # several flags
		[ "$(field .warnings)" = "$(tree2erofs $flags -o again big.tree 2>&1 | wc -l)" ] || fail "$(field .warnings) warnings"
	done <<-END
		-z lz4 --pcluster=4K|5.15|EROFS_FS EROFS_FS_ZIP|lz4_0padding
		-z lz4|5.15|EROFS_FS EROFS_FS_ZIP|lz4_0padding compr_cfgs
		-z deflate|6.6|EROFS_FS EROFS_FS_ZIP EROFS_FS_ZIP_DEFLATE|lz4_0padding compr_cfgs deflate
		-z zstd|6.10|EROFS_FS EROFS_FS_ZIP EROFS_FS_ZIP_ZSTD|lz4_0padding compr_cfgs zstd
		-z lz4 --block-size=2048|6.8|EROFS_FS EROFS_FS_ZIP|subpage_blocks lz4_0padding compr_cfgs
		-z zstd --extents=encoded|6.15|EROFS_FS EROFS_FS_ZIP EROFS_FS_ZIP_ZSTD|lz4_0padding compr_cfgs zstd 48bit
	END
}

@test "layers merged: a kernel for the metadata, and one for the disk" {
	need jq qemu-img
	for n in 0 1; do
		mkdir $n
		echo $n >$n/f$n
		tar -C $n -cf $n.tar .
		tar2tree $n.tar | tree2erofs --layer --report r.json -o $n.erofs
		describes $n.erofs
	done
	tree2erofs --fsmeta --report r.json -o fsmeta.erofs 0.erofs 1.erofs
	describes fsmeta.erofs
	is .kernel 5.16
	is .counts.files 2
	is .counts.entries 3
	[ "$(keys)" = 'output digest size allocated uuid block_size counts kernel kernel_config features' ] || fail "$(keys)"
	wrap-vmdk --report r.json -o disk.vmdk fsmeta.erofs 0.erofs 1.erofs
	describes disk.vmdk
	is .kernel 6.4
	is .format vmdk
	is .disk_size "$(qemu-img info --output=json disk.vmdk | jq '."virtual-size"')"
	[ "$(keys)" = 'output digest size allocated disk_size kernel kernel_config features' ] || fail "$(keys)"
	tree2erofs --fsmeta --device-table=no --report r.json -o old.erofs 0.erofs 1.erofs
	is .kernel 5.15
	for format in stream raw gpt; do
		wrap-vmdk --report r.json --format $format -o disk old.erofs 0.erofs 1.erofs
		describes disk
		is .kernel 5.15
		is .disk_size "$(qemu-img info -f "$([ $format = stream ] && echo vmdk || echo raw)" --output=json disk | jq '."virtual-size"')"
	done
	wrap-vmdk --report r.json --format stream --size 4096 -o disk <old.erofs
	describes disk
	is .format vmdk-stream
	is .disk_size 4096
	run --separate-stderr wrap-vmdk --check disk.vmdk --report r.json
	assert_error wrap-vmdk 2 '--check makes nothing that could be reported'
}

@test "an ext4 file system: UUID, features and counts, made and grown" {
	need jq dumpe2fs blkid
	all_types
	for line in 'tree2ext4 --shrink in.tree' 'tree2ext4 in.tree --size 64M --features metadata_csum_seed,^64bit' 'mkext4upper --size 64M --tree in.tree'; do
		$line --report r.json -o out
		describes out
		is .format ext4
		is .kernel "$([[ $line == *seed* ]] && echo 4.4 || echo 4.0)"
		is '.kernel_config | join(" ")' EXT4_FS
		is .uuid "$(blkid -p -o value -s UUID out)"
		is .block_size "$(super out 'Block size')"
		# without those that a kernel need not know
		is '.features | sort | join(" ")' "$(super out 'Filesystem features' | tr ' ' '\n' |
			grep -vxE 'has_journal|ext_attr|resize_inode|dir_index' | sort | xargs)"
		[ "$(keys)" = 'output digest size allocated uuid block_size counts kernel kernel_config features' ] || fail "$(keys)"
		if [ "$(id -u)" = 0 ]; then
			mount_image ext4 out mnt
			is "$counted" "$(found mnt)"
			unmount_all
			rmdir mnt
		fi
	done
	uuid=$(field .uuid)
	mkext4upper --grow out --size 128M --report-fd 3 3>r.json
	describes out
	is .size $((128 << 20))
	is .uuid "$uuid"
	clean out
	mkext4upper --grow out --size 256M --report r.json --report-digest=no
	is .digest null
	is .size $((256 << 20))
	run --separate-stderr mkext4upper --grow out --size 512M --report out
	assert_error mkext4upper 2 'out: is the report and the output at once'
	[ "$(stat -c %s out)" = $((256 << 20)) ]
}

@test "a layer: its digest, and that of the tar in it" {
	need jq zstd
	all_types
	sed -i '/type=socket/d; s/records=15/records=14/' in.tree
	while read -r kind unpack suffix; do
		tree2tar --oci -z "$kind" --report r.json -o out in.tree
		describes out
		is .diff_id "sha256:$($unpack <out | sha256sum | cut -d ' ' -f 1)"
		is .media_type "application/vnd.oci.image.layer.v1.tar$suffix"
		is .counts.entries 14
		[ "$(keys)" = 'media_type output digest diff_id size allocated counts' ] || fail "$(keys)"
	done <<-END
		plain cat
		gzip gunzip +gzip
		zstd unzstd +zstd
	END
	tree2tar -z gzip --report-digest=no --report r.json in.tree >out
	[ "$(keys)" = 'size allocated counts' ] || fail "$(keys)"
	oci-commit --base scratch --platform linux/amd64 --layer out --layout image
	tree2tar --oci -z gzip --report r.json -o out in.tree
	[ "$(oci-fetch --list --digests oci:image)" = "$(field .digest)" ]
}

@test "a tree stream: its counts are those at its end" {
	need jq
	small_layer layer.tar
	tar2tree -o in.tree layer.tar
	tree2erofs -o in.erofs in.tree
	tree2ext4 --shrink -o in.ext4 in.tree
	for line in 'tar2tree layer.tar' 'erofs2tree in.erofs' 'ext42tree in.ext4' 'erofs-patch --lower in.tree --mkdir /new' 'erofs-patch --lower in.tree --mkdir /new --full'; do
		$line --report r.json -o out
		is .format tree
		is '"\(.counts.entries) \(if .counts.files == 0 then 0 else .counts.bytes end)"' "$(sed -n 's/^#end records=\([0-9]*\) bytes=\([0-9]*\).*/\1 \2/p' out)"
		[ "$(keys)" = 'output digest size allocated counts' ] || fail "$(keys)"
	done
	is .counts.directories 4
	erofs-patch --lower in.tree --mkdir /new --dry-run --report r.json -o out
	is .format changes
	[ "$(keys)" = 'output digest size allocated' ] || fail "$(keys)"
	erofs2tree --cat /etc/hostname --report r.json -o out in.erofs
	is .format file
	describes out
	ext42tree --list --report r.json -o out in.ext4
	is .format list
	[ "$(keys)" = 'output digest size allocated' ] || fail "$(keys)"
}

@test "images of containers: the archive, the manifest and its layers" {
	need jq
	demo_image demo
	oci-fetch --report r.json -o image.tar oci:demo
	describes image.tar
	is .format oci
	is .manifest.digest "sha256:$(oci-fetch --manifest oci:demo | sha256sum | cut -d ' ' -f 1)"
	is .config.digest "sha256:$(oci-fetch --config oci:demo | sha256sum | cut -d ' ' -f 1)"
	is '.layers[].digest' "$(oci-fetch --list --digests oci:demo)"
	is '.layers[].diff_id' "$(oci-fetch --config oci:demo | jq -r '.rootfs.diff_ids[]')"
	[ "$(keys)" = 'output digest size allocated manifest config platform layers' ] || fail "$(keys)"
	oci-fetch --layer 0 --report r.json -o layer oci:demo
	describes layer
	is .format layer
	is .digest "$(oci-fetch --list --digests oci:demo | head -1)"
	is .diff_id "$(field '.layers[0].diff_id')"
	oci-fetch --manifest --report r.json -o manifest oci:demo
	describes manifest
	is .digest "$(field .manifest.digest)"

	oci-commit --base oci:demo --env A=1 --report r.json --tag v2 -o new.tar
	describes new.tar
	is .manifest.digest "sha256:$(oci-fetch --manifest oci-archive:new.tar | sha256sum | cut -d ' ' -f 1)"
	is .tags[] v2
	oci-commit --base oci:demo --env A=1 --report r.json --layout new:v3
	is .manifest.digest "sha256:$(oci-fetch --manifest oci:new:v3 | sha256sum | cut -d ' ' -f 1)"
	is .output "$PWD/new"
	is .tags[] v3
	[ "$(keys)" = 'output tags manifest config platform layers' ] || fail "$(keys)"
	oci-commit --base oci:demo --format docker --tag x/y --report r.json -o save.tar
	describes save.tar
	[ "$(keys)" = 'output digest size allocated tags config platform' ] || fail "$(keys)"
	run --separate-stderr oci-commit --base oci:demo --dry-run --report r.json
	assert_error oci-commit 2 '--dry-run makes nothing that could be reported'
}

@test "a push: what was sent, taken over and there already" {
	need jq
	demo_image demo
	registries_setup
	docker_registry
	blobs=$(($(oci-fetch --list --digests oci:demo | sort -u | wc -l) + 1))
	bytes=$(oci-fetch --manifest oci:demo | jq '[.layers[], .config] | unique_by(.digest) | map(.size) | add')
	digest=sha256:$(oci-fetch --manifest oci:demo | sha256sum | cut -d ' ' -f 1)
	oci-push "$reg/a:v1" demo --tag v2 --report r.json >out
	is .blobs.pushed.count $blobs
	is .blobs.pushed.bytes "$bytes"
	is '.tags | join(" ")' 'v1 v2'
	is .digest "$digest"
	is .reference "$(<out)"
	[ "$(keys)" = 'media_type digest reference tags blobs' ] || fail "$(keys)"
	oci-push "$reg/a:v1" demo --report r.json >out
	is '.blobs | "\(.pushed.count) \(.mounted.count) \(.skipped.count)"' "0 0 $blobs"
	oci-push "$reg/b:v1" demo --mount-from "$reg/a" --report=- -o out >r.json
	is '.blobs | "\(.pushed.count) \(.mounted.count) \(.skipped.count)"' "0 $blobs 0"
	run --separate-stderr oci-push "$reg/c:v1" demo --report=-
	assert_error oci-push 2 '--report=-: standard output is the output already'
	oci-fetch --no-cache --report r.json -o image.tar "$reg/a:v1"
	describes image.tar
	is .reference "$reg/a:v1"
}

@test "a snapshot: its identity" {
	need jq
	mkext4upper --size 64M -o upper.ext4
	image=example.com/a:v1@sha256:$(printf %064d 7)
	snapshot-pack create --upper upper.ext4 --image "$image" --report r.json -o snap.tar.zst
	describes snap.tar.zst
	[ "$(keys)" = 'output digest size allocated snapshot' ] || fail "$(keys)"
	id=$(field .snapshot.id)
	is .snapshot.image.manifest "${image#*@}"
	is .snapshot.image.reference example.com/a:v1
	snapshot-pack create --upper upper.ext4 --image "$image" --report r.json --dir snap
	is .snapshot.id "$id"
	is .snapshot.id "sha256:$(sha256sum <snap/snapshot.json | cut -d ' ' -f 1)"
	is .output "$PWD/snap"
	[ "$(keys)" = 'output snapshot' ] || fail "$(keys)"
	snapshot-pack create --from snap --form 0.7 --report r.json -o new.tar.zst
	describes new.tar.zst
	is .snapshot.form 0.7
	is .snapshot.id "$(basename "$(snapshot-pack unpack -C . --name new new.tar.zst)")"
}

@test "oci-materialize: the JSON of standard output, beside one path" {
	need jq
	demo_image demo
	oci-materialize --cache cache oci:demo >want.json
	oci-materialize --cache cache --print vmdk --report r.json oci:demo >path
	[ "$(field .vmdk.path)" = "$(<path)" ]
	[ "$(jq -S 'del(.. | .seconds?, .built?, .hit?)' r.json)" = "$(jq -S 'del(.. | .seconds?, .built?, .hit?)' want.json)" ] || diff r.json want.json
	is .hit true
	run --separate-stderr oci-materialize --cache cache --upper 64M=r.json --report r.json oci:demo
	assert_error oci-materialize 2 'r.json: is the report and the output at once'
	run --separate-stderr oci-materialize --cache cache --upper 64M=u --depfile ./u --depfile-target t oci:demo
	assert_error oci-materialize 2 'u: is the depfile and the output at once'
	run --separate-stderr oci-materialize --cache cache --upper 64M=u -o "$PWD/u" oci:demo
	assert_error oci-materialize 2 'u: is two outputs at once'
	[ ! -e u ]
}

@test "no report of what failed, and no success without the report" {
	small_layer layer.tar
	tar2tree -o in.tree layer.tar
	head -c 5000 in.tree >cut.tree
	echo old >r.json
	for tool in tree2erofs tree2ext4 tree2tar; do
		run --separate-stderr "$tool" --report r.json -o out cut.tree
		assert_error "$tool" 1 cut.tree
		[ "$(<r.json)" = old ] || fail "$(<r.json)"
		interrupted INT "$tool" --report r.json -o out
		assert_status 130
		[ "$(<r.json)" = old ] || fail "$(<r.json)"
		[ ! -e out ] || fail "an output"
		for report in /dev/full "/dev/fd/7 7>/dev/full" "r.json 7>x --report-fd=7" d none/r.json /proc/r.json in.tree out ./out - ''; do
			rm -rf d out x
			mkdir d
			run --separate-stderr bash -c "$tool in.tree --report=$report $([[ $report == - ]] || echo -o out)"
			case $report in
			/dev/*)
				assert_error "$tool" 1 'no space left on device'
				[[ $stderr == *'hint: the output is complete; only the report is missing' ]] || show "no hint"
				"$tool" in.tree | cmp - out
				;;
			d | none/* | /proc/*)
				assert_error "$tool" 1 "$report"
				[ ! -e out ] || fail "$report: an output"
				;;
			*)
				assert_status 2
				assert_stderr_line "$tool" ''
				[ ! -e out ] || fail "$report: an output"
				;;
			esac
		done
		[ "$(<r.json)" = old ] || fail "$(<r.json)"
	done
	rm -rf d x out
	assert_no_debris layer.tar in.tree cut.tree r.json
	tar2tree layer.tar | cmp - in.tree
}

@test "the reader of a report leaves" {
	small_layer layer.tar
	mkfifo fifo
	# The layer comes when it has left.
	late='{ until [ -e left ]; do sleep 0.05; done; cat layer.tar; }'
	(: <fifo && : >left) &
	run --separate-stderr bash -c "$late | tar2tree --report fifo -o out"
	assert_error tar2tree 1 'fifo: write: broken pipe'
	[ -s out ]
	rm left
	run --separate-stderr bash -c "{ $late | tar2tree --report-fd 3 3>&1 >out; echo \$? >status; } | { exec <&-; : >left; }; exit \$(<status)"
	assert_error tar2tree 1 'descriptor 3: write: broken pipe'
}

@test "a disk is no place for a report" {
	need_root
	need losetup
	small_layer layer.tar
	truncate -s 1M disk
	device=$(losetup -f --show disk) || skip_or_fail "no loop devices here"
	run --separate-stderr tar2tree layer.tar --report "$device" -o out
	losetup -d "$device"
	assert_error tar2tree 2 "$device: is a disk, and no place for a report"
	truncate -s 1M zeros
	cmp disk zeros
	[ ! -e out ]
}
