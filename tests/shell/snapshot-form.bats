# snapshot-pack: the form of microsandbox 0.7 beside that of 0.6, groups, chains of layers
# that are refused, and microsandbox itself.

load helpers
setup() { common_setup; }

manifest=sha256:$(printf 'a%.0s' {1..64})
image=docker.io/library/alpine:3@$manifest

upper() {
	small_layer layer.tar
	tar2tree --input layer layer.tar | mkext4upper --size 64M --tree - -o upper.ext4
	rm layer.tar
}

# create FLAGS...
create() { snapshot-pack create --upper upper.ext4 --image "$image" --label stage=ready "$@"; }

# msb VERSION ARGS... runs "msb snapshot", with a home in work.
msb() {
	local path status=0
	path=$("$REPO/tests/shell/msb.sh" "$1" 2>msb.log) || status=$?
	[ "$status" != 3 ] || skip_or_fail "$(<msb.log)" || return
	rm msb.log
	HOME=$PWD/home MSB_HOME=$PWD/home NO_COLOR=1 "$path" snapshot "${@:2}"
}

@test "an archive of form 0.7, and what comes out of it" {
	need jq
	upper
	run --separate-stderr create --form 0.7 --name base -o base.msb
	assert_ok
	create --form 0.7 --name base | cmp - base.msb || fail "other bytes"
	run --separate-stderr snapshot-pack verify base.msb
	assert_ok
	assert_output ''
	snapshot-pack inspect base.msb >json
	id=$(jq -r .id json)
	[[ $id =~ ^snap_[0-9a-f]{32}$ ]] || fail "$(<json)"
	[ "$(jq -c '[.form, .labels, .disks[0].format, .archive.suggested_name]' json)" = '["0.7",{"stage":"ready"},"raw","base"]' ] || fail "$(<json)"
	mkdir snapshots
	run --separate-stderr snapshot-pack unpack -C snapshots --name g base.msb
	assert_ok
	assert_output "snapshots/g/$id"
	cmp upper.ext4 snapshots/g/"$id"/layers/*.raw
	(($(stat -c %b snapshots/g/"$id"/layers/*.raw) <= $(stat -c %b upper.ext4) + 64)) || fail "the holes are gone"
	[ "$(jq -r .head snapshots/g/group.json)" = "$id" ] || fail "another head"
	[ "$(jq -r .name "snapshots/g/$id/group-member.json")" = base ] || fail "another name"
	run --separate-stderr snapshot-pack verify snapshots/g "snapshots/g/$id"
	assert_ok
	run --separate-stderr snapshot-pack unpack -C snapshots --name g base.msb
	assert_ok
	run --separate-stderr snapshot-pack unpack -C snapshots base.msb
	assert_output "snapshots/msb-${id:5:8}/$id"
	assert_no_debris upper.ext4 base.msb json snapshots
}

@test "a directory of form 0.7 is a group" {
	need jq
	upper
	run --separate-stderr create --form 0.7 --dir g
	assert_ok
	first=$(snapshot-pack inspect g | jq -r .id)
	run --separate-stderr create --form 0.7 --source other --parent g --dir g
	assert_ok
	second=$(snapshot-pack inspect g | jq -r .id)
	[ "$first" != "$second" ] || fail "the head did not move"
	[ "$(snapshot-pack inspect g | jq -r .parent)" = "$first" ] || fail "another parent"
	run --separate-stderr create --form 0.7 --source third --dir g
	assert_status 0
	assert_stderr_line snapshot-pack "warning: g: its head stays $second"
	run --separate-stderr snapshot-pack create --from g --with-parents -o both
	assert_ok
	[ "$(snapshot-pack inspect both | jq -c .archive.snapshots)" = "[\"$first\",\"$second\"]" ] || fail "$(snapshot-pack inspect both)"
	run --separate-stderr snapshot-pack create --from g --form 0.6 -o out
	assert_error snapshot-pack 1 'a snapshot of form 0.7 cannot be put into form 0.6'
	mkdir other other/x
	run --separate-stderr create --form 0.7 --dir other
	assert_error snapshot-pack 1 'other: exists, and is something else, not a group of snapshots'
	run --separate-stderr create --form 0.7 --dir 'a b'
	assert_error snapshot-pack 1 'a b'
	rmdir other/x other
	assert_no_debris upper.ext4 g both
}

@test "form 0.6 becomes form 0.7, and keeps half of its identity" {
	need jq
	upper
	create --dir old
	old=$(snapshot-pack inspect old | jq -r .id)
	run --separate-stderr snapshot-pack create --from old --form 0.7 -o new
	assert_ok
	[ "$(snapshot-pack inspect new | jq -r .id)" = "snap_${old:7:32}" ] || fail "$old: $(snapshot-pack inspect new)"
	create --form 0.7 | cmp - new || fail "not what is made of the disk"
	run --separate-stderr create --parent snap_"$(printf '1%.0s' {1..32})" -o out
	assert_error snapshot-pack 1 'has form 0.7, the snapshot form 0.6'
	run --separate-stderr create --form 0.8 -o out
	assert_error snapshot-pack 2 '--form'
	assert_no_debris upper.ext4 old new
}

@test "archives of form 0.7 that are not right leave nothing" {
	upper
	create --form 0.7 --plain -o whole
	mkdir out
	size=$(stat -c %s whole)
	for n in 0 100 512 2000 $((size / 2)) $((size - 3000)); do
		run --separate-stderr snapshot-pack unpack -C out < <(head -c "$n" whole)
		assert_error snapshot-pack 1 ''
		[ -z "$(ls -A out)" ] || fail "$n bytes: $(ls -A out)"
	done
	cp whole flipped
	printf X | dd of=flipped bs=1 seek=$((size / 2)) conv=notrunc status=none
	run --separate-stderr snapshot-pack verify flipped
	assert_error snapshot-pack 1 'flipped: '
	run --separate-stderr create --form 0.7 -o /dev/full
	assert_error snapshot-pack 1 'no space left'
	rmdir out
	assert_no_debris upper.ext4 whole flipped
}

# chain makes g a group whose head has a layer of qcow2 upon the raw one.
chain() {
	local at raw top
	create --form 0.7 --dir g
	at=$(echo g/snap_*)
	raw=$(basename "$at"/layers/*.raw)
	top=layer_$(printf 'f%.0s' {1..32})
	qemu-img create -q -f qcow2 -F raw -b "$raw" "$at/layers/$top.qcow2" 64M
	jq -Scj --arg base "${raw%.raw}" --arg top "$top" '.state.head = $top | .state.disk_format = "qcow2" | .state.layers += [
		{layer_id: $top, format: "qcow2", virtual_size: .state.virtual_size, backing: $base, payload: {file_kind: "regular", integrity: null}}]' \
		"$at/snapshot.json" >changed
	mv changed "$at/snapshot.json"
}

@test "a chain of layers is no disk" {
	need jq qemu-img
	upper
	chain
	[ "$(snapshot-pack inspect g | jq -c '[.disks[].format]')" = '["raw","qcow2"]' ] || fail "$(snapshot-pack inspect g)"
	run --separate-stderr snapshot-pack verify g
	assert_error snapshot-pack 1 'is a chain of 2 layers (qcow2), not one raw disk'
	[[ $stderr == *'hint: '*'qemu-img convert'* ]] || show "no hint"
	run --separate-stderr snapshot-pack create --from g -o out
	assert_error snapshot-pack 1 'chain of 2 layers'
	# What the hint says makes one disk of it.
	qemu-img convert -O raw g/snap_*/layers/*.qcow2 whole.ext4
	cmp upper.ext4 whole.ext4
	# The base alone is not the disk.
	rm g/snap_*/layers/*.qcow2
	run --separate-stderr snapshot-pack inspect g
	assert_error snapshot-pack 1 '.qcow2: '
	assert_no_debris upper.ext4 whole.ext4 g
}

@test "microsandbox saves and loads" {
	upper
	create -o old
	create --form 0.7 -o new
	for pair in '0.6.14 old' '0.7.2 old' '0.7.2 new'; do
		read -r version archive <<<"$pair"
		echo "$pair"
		loaded=$(msb "$version" load "$archive" | sed -n 2p)
		msb "$version" verify "$loaded" | grep -q 'verified (msb-file-merkle-blake3-v1'
		msb "$version" save "$loaded" saved
		run --separate-stderr snapshot-pack verify saved
		assert_ok
		mkdir out
		at=$(snapshot-pack unpack -C out saved)
		cmp upper.ext4 "$(find "$at" -name '*.raw' -o -name '*.ext4')"
		rm -r out saved home
	done
	assert_no_debris upper.ext4 old new
}

# root_image DIR makes an OCI layout of two layers whose tars have an entry for the root.
# microsandbox refuses others.
root_image() {
	local blobs=$1/blobs/sha256 file layers='[]' diffs='[]'
	mkdir -p "$blobs"
	small_layer one.tar
	mkdir -p two/etc
	echo vm2 >two/etc/hostname
	tar -C two --sort=name --mtime=@1700000000 --owner=0 --group=0 -cf two.tar .
	for file in one.tar two.tar; do
		layers=$(jq -c ". + [$(describe "$file" layer.v1.tar)]" <<<"$layers")
		diffs=$(jq -c ". + [\"$(digest_of "$file")\"]" <<<"$diffs")
		add_blob "$file"
	done
	echo "{\"architecture\": \"amd64\", \"os\": \"linux\", \"config\": {\"Cmd\": [\"sh\"]}, \"rootfs\": {\"type\": \"layers\", \"diff_ids\": $diffs}}" >config
	echo "{\"schemaVersion\": 2, \"config\": $(describe config config.v1+json), \"layers\": $layers}" >image
	echo "{\"schemaVersion\": 2, \"manifests\": [$(describe image manifest.v1+json)]}" >"$1/index.json"
	echo '{"imageLayoutVersion": "1.0.0"}' >"$1/oci-layout"
	add_blob config
	add_blob image
	rm -r two
}

# What root_image needs: the digest of a file, its descriptor, and its place in the layout.
digest_of() { echo "sha256:$(sha256sum <"$1" | cut -d' ' -f1)"; }
describe() { echo "{\"mediaType\": \"application/vnd.oci.image.$2\", \"digest\": \"$(digest_of "$1")\", \"size\": $(stat -c %s "$1")}"; }
add_blob() {
	local digest
	digest=$(digest_of "$1")
	mv "$1" "$blobs/${digest#*:}"
}

# files_of DIR lists the files of an image with their content, but for the disk, whose lines
# say where the others lie.
files_of() { (cd "$1" && find fsmeta layers manifests -type f -exec sha256sum {} + | sort -k 2); }

@test "microsandbox takes an image with a snapshot, and gives it back" {
	need jq
	upper
	root_image demo
	oci-materialize oci:demo --cache cache --as docker.io/library/demo:1 -o pin.json
	for pair in '0.6.14 0.6' '0.7.2 0.6' '0.7.2 0.7'; do
		read -r version form <<<"$pair"
		echo "$pair"
		snapshot-pack create --form "$form" --upper upper.ext4 --pin pin.json --with-image cache -o base
		mkdir out ours theirs
		snapshot-pack unpack -C out --images ours base
		loaded=$(msb "$version" load base | sed -n 2p)
		[ "$(files_of home/cache)" = "$(files_of ours)" ] || fail "$(files_of home/cache; files_of ours)"
		[ "$(files_of ours | wc -l)" = 4 ] || fail "$(files_of ours)"
		msb "$version" save "$loaded" saved --with-image
		snapshot-pack verify --against pin.json saved
		snapshot-pack unpack -C out --images theirs saved
		diff -r ours theirs
		wrap-vmdk --check theirs/vmdk/*.vmdk
		rm -r out ours theirs base saved home
	done
	# One without an entry for the root of a layer is refused there, and not here.
	demo_image DIR
	oci-materialize oci:DIR:demo --cache cache --as docker.io/library/demo:1 -o pin.json
	snapshot-pack create --upper upper.ext4 --pin pin.json --with-image cache -o base
	snapshot-pack verify base
	for version in 0.6.14 0.7.2; do
		run msb "$version" load base
		[ "$status" != 0 ] || fail "$version takes it: the texts of --help are out of date"
		[[ $output == *'missing staged layer artifact'* ]] || show "another error"
	done
}
