# snapshot-pack: archives and directories, what others read of them, disks that are not
# taken, failures.

load helpers
setup() { common_setup; }

manifest=sha256:$(printf 'a%.0s' {1..64})
image=docker.io/library/alpine:3@$manifest

# upper makes an upper disk of 256 MiB with a few files.
upper() {
	small_layer layer.tar
	tar2tree --input layer layer.tar | mkext4upper --size 256M --tree - -o upper.ext4
	rm layer.tar
}

# same_disk A B: the same content, and no more than a few blocks more in B.
same_disk() {
	cmp "$1" "$2" || return
	(($(stat -c %b "$2") <= $(stat -c %b "$1") + 64)) || fail "$2 takes $(stat -c %b "$2") blocks, $1 $(stat -c %b "$1")"
}

@test "an archive, and what comes out of it" {
	upper
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --label stage=ready -o base.tar.zst
	assert_ok
	assert_output ''
	run --separate-stderr snapshot-pack verify base.tar.zst
	assert_ok
	assert_output ''
	mkdir snapshots
	run --separate-stderr snapshot-pack unpack -C snapshots base.tar.zst
	assert_ok
	[[ $output =~ ^snapshots/[0-9a-f]{64}$ ]] || show "not the path"
	same_disk upper.ext4 "$output/upper.ext4"
	[ "sha256:${output#*/}" = "sha256:$(sha256sum <"$output/snapshot.json" | cut -c1-64)" ] || fail "another identity"
	clean "$output/upper.ext4"
	run --separate-stderr snapshot-pack verify "$output" base.tar.zst
	assert_ok
	assert_no_debris upper.ext4 base.tar.zst snapshots
}

@test "pipes, and the same bytes each time" {
	upper
	for flags in '' --plain '--level 9 -j 3'; do
		# shellcheck disable=SC2086 # flags
		{
			snapshot-pack create --upper upper.ext4 --image "$image" $flags >one
			(TZ=Asia/Tokyo GOMAXPROCS=7 snapshot-pack create --upper upper.ext4 --image "$image" $flags | cat) >two
		}
		cmp one two
		snapshot-pack verify <one
		mkdir here
		snapshot-pack unpack -C here --name base <one
		same_disk upper.ext4 here/base/upper.ext4
		rm -r here
	done
	assert_no_debris upper.ext4 one two
}

@test "a directory, and an archive of it" {
	upper
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --dir base
	assert_ok
	assert_output ''
	same_disk upper.ext4 base/upper.ext4
	snapshot-pack verify base
	snapshot-pack create --upper upper.ext4 --image "$image" -o one
	snapshot-pack create --from base -o two
	cmp one two
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --dir base
	assert_error snapshot-pack 1 'base: create: file already exists'
	printf x | dd of=base/upper.ext4 bs=1 seek=5000 conv=notrunc status=none
	run --separate-stderr snapshot-pack verify base
	assert_error snapshot-pack 1 'base/upper.ext4: the content of the disk has changed'
	run --separate-stderr snapshot-pack create --from base -o three
	assert_error snapshot-pack 1 'base/upper.ext4: the content of the disk has changed'
	assert_no_debris upper.ext4 base one two
}

@test "what it says of a snapshot" {
	need jq
	upper
	SOURCE_DATE_EPOCH=1700000000 snapshot-pack create --upper upper.ext4 --image "$image" --label stage=ready --label 'x=a,b=c' \
		--source build-1 --parent "$manifest" --extension 'my={"n": [1, null]}' --name base -o base.tar
	snapshot-pack inspect base.tar >json
	[ "$(jq -c '[.created_at, .parent, .image, .source, .labels, .extensions, .disks[0].size, .archive.suggested_name]' json)" = \
		"[\"2023-11-14T22:13:20Z\",\"$manifest\",{\"reference\":\"docker.io/library/alpine:3\",\"manifest\":\"$manifest\"},\"build-1\",{\"stage\":\"ready\",\"x\":\"a,b=c\"},{\"my\":{\"n\":[1,null]}},268435456,\"base\"]" ] || fail "$(<json)"
	snapshot-pack create --upper upper.ext4 --image "alpine@$manifest" --created-at '2026-05-01 14:00:00.50+02:00' |
		snapshot-pack inspect >json
	[ "$(jq -c '[.created_at, .image.reference]' json)" = "[\"2026-05-01T12:00:00.5Z\",\"docker.io/library/alpine@$manifest\"]" ] || fail "$(<json)"
}

@test "the pin: which bytes the disk stands on" {
	need jq
	upper
	diff=sha256:$(printf 'b%.0s' {1..64})
	meta=sha256:$(printf 'c%.0s' {1..64})
	cat >pin.json <<-END
		{"version": 1, "reference": "docker.io/library/alpine:3", "manifest": {"digest": "$manifest", "size": 5},
		"platform": "linux/amd64", "layers": [{"diff_id": "$diff", "size": 7}], "fsmeta": {"digest": "$meta"}}
	END
	snapshot-pack create --upper upper.ext4 --pin - -o base.tar.zst <pin.json
	snapshot-pack inspect base.tar.zst >json
	note="{\"fsmeta\":\"$meta\",\"layers\":[\"$diff\"],\"platform\":\"linux/amd64\"}"
	[ "$(jq -r '.labels["ocipipe.pin"]' json)" = "$note" ] || fail "$(<json)"
	snapshot-pack create --form 0.7 --upper upper.ext4 --pin pin.json -o new.msb
	snapshot-pack inspect new.msb >json
	[ "$(jq -c '.extensions["ocipipe.pin"]' json)" = "$note" ] || fail "$(<json)"
	snapshot-pack verify --against pin.json new.msb
	snapshot-pack verify --against pin.json base.tar.zst
	sed "s/$diff/$meta/" pin.json >other.json
	run --separate-stderr snapshot-pack verify --against other.json base.tar.zst
	assert_error snapshot-pack 1 "base.tar.zst: the snapshot stands on other layers: layer 0 is $diff, not $meta"
	for change in "s/$manifest/$meta/" 's/amd64/arm64/' "s/\"fsmeta\": {\"digest\": \"$meta\"/\"fsmeta\": {\"digest\": \"$diff\"/"; do
		sed "$change" pin.json >other.json
		run --separate-stderr snapshot-pack verify --against other.json base.tar.zst
		assert_error snapshot-pack 1 'base.tar.zst: the snapshot stands on '
	done
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "x@$meta" --pin pin.json -o out
	assert_error snapshot-pack 2 "--image has the digest $meta, and --pin $manifest"
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image me:s3cret@host/x:v1 -o out
	assert_error snapshot-pack 2 "--image me:xxxxx@host/x:v1: has no digest to pin it"
	echo '{}' >other.json
	run --separate-stderr snapshot-pack create --upper upper.ext4 --pin other.json -o out
	assert_error snapshot-pack 1 'other.json: not the JSON of oci-materialize: it has no manifest.digest'
	for form in 0.6 0.7; do
		# Without the note there is nothing to compare, in a directory and in an archive, also
		# of a parent.
		snapshot-pack create --form $form --upper upper.ext4 --image "$image" --dir none
		snapshot-pack create --form $form --upper upper.ext4 --pin pin.json --parent none --with-parents -o chain
		for path in none chain; do
			run --separate-stderr snapshot-pack verify --against pin.json $path
			assert_error snapshot-pack 1 "$path: $([ $path = none ] || snapshot-pack inspect none | jq -r '.id + ": "')the snapshot stands on the image $manifest, but has no note of its layers (ocipipe.pin)"
		done
		rm -r none
		snapshot-pack create --form $form --upper upper.ext4 --pin pin.json --dir none
		snapshot-pack create --form $form --upper upper.ext4 --pin pin.json --label n=2 --parent none --with-parents -o chain
		snapshot-pack verify --against pin.json none chain
		rm -r none chain
	done
	assert_no_debris upper.ext4 base.tar.zst new.msb json pin.json other.json
}

@test "a chain of snapshots" {
	upper
	snapshot-pack create --upper upper.ext4 --image "$image" --label n=1 --dir one
	snapshot-pack create --upper upper.ext4 --image "$image" --label n=2 --parent one --dir two
	snapshot-pack create --upper upper.ext4 --image "$image" --label n=3 --parent two --with-parents -o chain.tar.zst
	snapshot-pack create --upper upper.ext4 --image "$image" --label n=3 --parent two --dir three
	snapshot-pack create --from three --with-parents -o again.tar.zst
	cmp chain.tar.zst again.tar.zst
	mkdir out
	snapshot-pack unpack -C out --name head chain.tar.zst
	[ "$(find out -name snapshot.json | wc -l)" = 3 ] || fail "$(find out)"
	snapshot-pack verify out/*
	diff -r out/head three
	rm -r one
	run --separate-stderr snapshot-pack create --from three --with-parents -o again.tar.zst
	assert_error snapshot-pack 1 'the parent sha256:'
}

@test "an archive with its image" {
	need jq
	upper
	demo_image DIR
	oci-materialize oci:DIR:demo --cache cache --as docker.io/library/demo:1 -o pin.json
	for form in 0.6 0.7; do
		mkdir out images
		snapshot-pack create --form $form --upper upper.ext4 --pin pin.json --with-image cache -o base
		snapshot-pack verify --against pin.json base
		run --separate-stderr snapshot-pack unpack -C out base
		[[ $stderr == *'warning: '*' files of the image are left out' ]] || show "no warning"
		run --separate-stderr snapshot-pack unpack -C out --images images base
		assert_ok
		cmp images/fsmeta/* "$(jq -r .fsmeta.path pin.json)"
		for layer in $(jq -r '.layers[].path' pin.json); do
			cmp "images/layers/sha256_${layer##*/}" "$layer"
		done
		wrap-vmdk --check images/vmdk/*.vmdk
		grep -q '"../layers/sha256_' images/vmdk/*.vmdk || fail "$(cat images/vmdk/*)"
		# Again; and where another file has the name.
		before=$(find images -type f -exec sha256sum {} + | sort)
		run --separate-stderr snapshot-pack unpack -C out --images images base
		assert_ok
		echo x >>"$(echo images/layers/* | cut -d' ' -f1)"
		run --separate-stderr snapshot-pack unpack -C out --images images base
		assert_error snapshot-pack 1 'exists, and is something else'
		[[ $stderr == *'hint: --images DIR'* ]] || show "no hint"
		[ "$(find images -type f | wc -l)" = "$(wc -l <<<"$before")" ] || fail "$(find images)"
		rm -r out images base
	done
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --with-image cache -o base
	assert_error snapshot-pack 1 "cache: $manifest: is not in the cache"
	[[ $stderr == *'hint: oci-materialize'* ]] || show "no hint"
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --with-image nowhere -o base
	assert_error snapshot-pack 1 'no such file or directory'
	assert_no_debris upper.ext4 DIR cache pin.json
}

@test "tar, bsdtar and zstd read it" {
	need tar bsdtar zstd
	upper
	snapshot-pack create --upper upper.ext4 --image "$image" -o base.tar.zst
	snapshot-pack create --upper upper.ext4 --image "$image" --plain -o base.tar
	zstd -t -q base.tar.zst
	zstd -dcq base.tar.zst | cmp - base.tar
	for reader in 'tar --sparse -xf' 'bsdtar -xf'; do
		mkdir out
		$reader "$PWD/base.tar" -C out
		same_disk upper.ext4 out/files/*/upper.ext4
		rm -r out
	done
	mkdir out
	bsdtar -xf base.tar.zst -C out
	cmp upper.ext4 out/files/*/upper.ext4
	# And back: an archive that GNU tar has made. It has no inventory, because its map of
	# the disk may be another.
	cp --sparse=always out/files/*/upper.ext4 holes
	mv holes out/files/*/upper.ext4
	tar -C out --format=oldgnu --sparse -cf again.tar snapshots files
	(($(stat -c %s again.tar) < 10000000)) || fail "not sparse: $(stat -c %s again.tar) bytes"
	run --separate-stderr snapshot-pack verify again.tar
	assert_ok
}

@test "a disk that is in use" {
	need qemu-io flock
	upper
	run --separate-stderr flock --exclusive upper.ext4 snapshot-pack create --upper upper.ext4 --image "$image" -o out
	assert_error snapshot-pack 1 'upper.ext4: is in use: locked by another program'
	[[ $stderr == *'hint: '*--allow-dirty* ]] || show "no hint"
	flock --shared upper.ext4 snapshot-pack create --upper upper.ext4 --image "$image" -o out
	mkfifo commands
	qemu-io -f raw upper.ext4 <commands >qemu.log 2>&1 3>&- &
	exec 8>commands
	echo 'read 0 512' >&8
	until grep -q 'read 512' qemu.log; do
		kill -s 0 $! || fail "$(<qemu.log)"
		sleep 0.05
	done
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" -o out2
	assert_error snapshot-pack 1 'upper.ext4: is in use: locked by another program'
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --allow-dirty -o dirty
	exec 8>&-
	wait
	assert_ok
	[[ $(snapshot-pack inspect dirty) == *'is in use: locked by another program'* ]] || fail "$(snapshot-pack inspect dirty)"
	[[ $(snapshot-pack inspect out) != *consistency* ]] || fail "$(snapshot-pack inspect out)"
}

@test "a file system that was not unmounted" {
	need debugfs
	upper
	debugfs -w -R 'feature needs_recovery' upper.ext4 2>/dev/null
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --dir out
	assert_error snapshot-pack 1 'upper.ext4: the journal has to be replayed: it was not unmounted'
	[[ $stderr == *'hint: '*--allow-dirty* ]] || show "no hint"
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --allow-dirty --dir out --form 0.7
	assert_ok
	[[ $(snapshot-pack inspect out) == *'the journal has to be replayed: it was not unmounted'* ]] || fail "$(snapshot-pack inspect out)"
	assert_no_debris upper.ext4 out
}

@test "a mounted disk, and a device" {
	need_root
	need losetup
	upper
	device=$(losetup -f --show upper.ext4) || skip_or_fail "no loop device"
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" -o out
	assert_error snapshot-pack 1 "upper.ext4: is in use: attached to $device" || { losetup -d "$device"; return 1; }
	run --separate-stderr snapshot-pack create --upper "$device" --image "$image" -o of-device
	[ "$status" = 0 ] || { losetup -d "$device"; show "the device"; return 1; }
	mkdir mounted
	mount "$device" mounted
	run --separate-stderr snapshot-pack create --upper "$device" --image "$image" -o out
	umount mounted
	losetup -d "$device"
	assert_error snapshot-pack 1 "$device: is in use: mounted"
	mkdir there
	snapshot-pack unpack -C there --name base of-device
	[ "$(stat -c %s there/base/upper.ext4)" = 268435456 ] || fail "$(stat there/base/upper.ext4)"
}

@test "disks that are not taken" {
	need qemu-img
	upper
	qemu-img convert -O qcow2 upper.ext4 disk.qcow2
	run --separate-stderr snapshot-pack create --upper disk.qcow2 --image "$image" -o out
	assert_error snapshot-pack 1 'disk.qcow2: is a qcow2 image, not a raw disk'
	[[ $stderr == *'hint: '*'qemu-img convert'* ]] || show "no hint"
	head -c 100000 /dev/zero >zeros
	run --separate-stderr snapshot-pack create --upper zeros --image "$image" -o out
	assert_error snapshot-pack 1 'zeros: not an ext4 file system'
	head -c 1000000 upper.ext4 >short
	run --separate-stderr snapshot-pack create --upper short --image "$image" -o out
	assert_error snapshot-pack 1 'short: cut short: it has 1000000 bytes'
	run --separate-stderr snapshot-pack create --upper nowhere --image "$image" -o out
	assert_error snapshot-pack 1 'nowhere: open: no such file or directory'
	run --separate-stderr snapshot-pack create --upper . --image "$image" -o out
	assert_error snapshot-pack 1 '.: is a directory, not a file or a block device'
	snapshot-pack create --upper zeros --fs-type none --image "$image" -o out
	assert_no_debris upper.ext4 disk.qcow2 zeros short out
}

@test "wrong usage" {
	upper
	for args in '' '--upper upper.ext4' '--upper upper.ext4 --image alpine' "--upper upper.ext4 --image A@$manifest" '--upper upper.ext4 --image alpine@sha256:12' \
		"--image $image" "--upper upper.ext4 --image $image --dir d -o out" "--upper upper.ext4 --image $image --reflink" \
		"--upper upper.ext4 --image $image --level 23" "--upper upper.ext4 --image $image --created-at today" \
		"--upper upper.ext4 --image $image --extension x=1.5" "--upper upper.ext4 --image $image --parent nowhere" \
		"--upper upper.ext4 --image $image --with-parents" "--from d --upper upper.ext4" "--upper upper.ext4 --image $image -o upper.ext4" \
		"--upper upper.ext4 --image $image --name a/b"; do
		# shellcheck disable=SC2086 # arguments
		run --separate-stderr snapshot-pack create $args
		assert_error snapshot-pack 2 '' || fail "$args" || return
	done
	run --separate-stderr snapshot-pack unpack --name ../x /dev/null
	assert_error snapshot-pack 2 '--name: "../x" is not a name'
	run --separate-stderr snapshot-pack
	assert_error snapshot-pack 2 'want create, verify, inspect, unpack'
	# An output is not a file of the snapshot that is read.
	snapshot-pack create --upper upper.ext4 --image "$image" --dir base
	cp -r base copy
	for args in "--from base -o base/upper.ext4" "--from base -o base/snapshot.json" \
		"--upper upper.ext4 --image $image --parent base --with-parents -o base/upper.ext4"; do
		# shellcheck disable=SC2086 # arguments
		run --separate-stderr snapshot-pack create $args
		assert_error snapshot-pack 2 'is input and output at once' || fail "$args" || return
	done
	diff -r base copy
	assert_no_debris upper.ext4 base copy
}

@test "archives that are not right leave nothing" {
	upper
	snapshot-pack create --upper upper.ext4 --image "$image" -o good
	head -c -1 good >short
	head -c 1000 /dev/urandom >random
	: >empty
	(cat good && echo x) >longer
	mkdir out
	for file in short random empty longer; do
		run --separate-stderr snapshot-pack unpack -C out $file
		assert_error snapshot-pack 1 "$file: "
		run --separate-stderr snapshot-pack verify $file
		assert_error snapshot-pack 1 "$file: "
		run --separate-stderr snapshot-pack inspect $file
		assert_error snapshot-pack 1 "$file: "
	done
	run --separate-stderr snapshot-pack unpack -C out --max-bytes 1M good
	assert_error snapshot-pack 1 'more than 1048576 bytes, the limit'
	[[ $stderr == *'hint: --max-bytes'* ]] || show "no hint"
	run --separate-stderr snapshot-pack unpack -C nowhere good
	assert_error snapshot-pack 1 'nowhere: open: no such file or directory'
	[ -z "$(ls -A out)" ] || fail "$(ls -A out)"
	mkdir out/base
	run --separate-stderr snapshot-pack unpack -C out --name base good
	assert_error snapshot-pack 1 'out/base: exists, and is something else'
	[[ $stderr == *'hint: --name'* ]] || show "no hint"
	[ -z "$(ls -A out/base)" ] || fail "$(ls -A out/base)"
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --form 0.7 --dir out/base
	assert_error snapshot-pack 1 'out/base: exists, and is something else'
	[[ $stderr != *'hint: '* ]] || show "a hint for unpack"
}

@test "full disk, and no permission" {
	full_disk 1m
	upper
	snapshot-pack create --upper upper.ext4 --image "$image" -o good
	head -c 900000 /dev/zero >full/filler
	run --separate-stderr snapshot-pack create --upper upper.ext4 --image "$image" --plain -o full/out
	assert_error snapshot-pack 1 'no space left on device'
	snapshot-pack create --form 0.7 --upper upper.ext4 --image "$image" -o group
	snapshot-pack create --upper upper.ext4 --image "$image" --dir base
	for flags in "--upper upper.ext4 --image $image" '--from base'; do
		# shellcheck disable=SC2086 # flags
		run --separate-stderr snapshot-pack create $flags --plain -o full/out
		[ "$stderr" = 'snapshot-pack: full/out: write: no space left on device' ] || show "another place"
		run --separate-stderr bash -c "snapshot-pack create $flags --plain >/dev/full"
		[ "$stderr" = 'snapshot-pack: standard output: write: no space left on device' ] || show "another place"
	done
	for form in 0.6 0.7; do
		run --separate-stderr snapshot-pack create --form $form --upper upper.ext4 --image "$image" --dir full/out
		assert_error snapshot-pack 1 ''
		[ "$stderr" = 'snapshot-pack: full/out: write: no space left on device' ] || show "another place"
	done
	for archive in good group; do
		run --separate-stderr snapshot-pack unpack -C full $archive
		assert_error snapshot-pack 1 ''
		[ "$stderr" = 'snapshot-pack: full: write: no space left on device' ] || show "another place"
		run --separate-stderr bash -c "cd full && snapshot-pack unpack ../$archive"
		[ "$stderr" = 'snapshot-pack: .: write: no space left on device' ] || show "another place"
	done
	[ "$(ls -A full)" = filler ] || fail "$(ls -A full)"
	run --separate-stderr bash -c "snapshot-pack create --upper upper.ext4 --image $image >/dev/full"
	assert_error snapshot-pack 1 'no space left on device'
	mount -o remount,ro full
	run --separate-stderr snapshot-pack unpack -C full good
	[ "$stderr" = 'snapshot-pack: full: mkdir: read-only file system' ] || show "another place"
	unmount_all
}

@test "signals leave nothing" {
	upper
	snapshot-pack create --upper upper.ext4 --image "$image" -o good
	mkdir there
	for signal in INT TERM HUP; do
		interrupted $signal snapshot-pack unpack -C there
		[ "$status" -gt 128 ] || show "not ended by a signal"
		[ -z "$(ls -A there)" ] || fail "$signal: $(ls -A there)"
	done
	# In the middle of the archive.
	(
		head -c 3000 good
		sleep 5
	) | "${unignored[@]}" snapshot-pack unpack -C there 2>err 3>&- &
	sleep 1
	kill -TERM $!
	wait $! || true
	[ -z "$(ls -A there)" ] || fail "$(ls -A there)"
}

# whole DIR: nothing but complete snapshots, and places of work that nobody sees.
whole() {
	local name
	for name in "$1"/*; do
		[ ! -e "$name" ] || snapshot-pack verify "$name" || return
	done
}

@test "kill -9 at any time leaves no half of a snapshot" {
	mkext4upper --size 1G -o upper.ext4
	debugfs_write upper.ext4
	snapshot-pack create --upper upper.ext4 --image "$image" --level 1 -o good
	mkdir there
	for i in {1..12}; do
		if ((i % 2)); then
			snapshot-pack unpack -C there --name "base$i" good >/dev/null 2>&1 3>&- &
		else
			snapshot-pack create --upper upper.ext4 --image "$image" --dir "there/base$i" 3>&- &
		fi
		sleep "0.$((i * 3 % 10))$i"
		kill -9 $! 2>/dev/null || true
		wait $! 2>/dev/null || true
		whole there
	done
	rm -rf there/base*
	# The next one tidies up.
	snapshot-pack unpack -C there --name last good
	[ "$(ls -A there)" = last ] || fail "$(ls -A there)"
	snapshot-pack create --upper upper.ext4 --image "$image" -o out.tar.zst 3>&- &
	sleep 0.2
	kill -9 $! 2>/dev/null || true
	wait $! 2>/dev/null || true
	[ ! -e out.tar.zst ] || snapshot-pack verify out.tar.zst
}

# debugfs_write DISK puts 150 MB of data into it.
debugfs_write() {
	need debugfs
	head -c 150000000 /dev/urandom >data
	debugfs -w -R 'write data upper/data' "$1" 2>/dev/null
	rm data
}

@test "100 GiB that are nearly all hole" {
	mkext4upper --size 100G -o upper.ext4
	timeout 60 snapshot-pack create --upper upper.ext4 --image "$image" -o base.tar.zst
	(($(stat -c %s base.tar.zst) < 1000000)) || fail "$(stat -c %s base.tar.zst) bytes"
	timeout 60 snapshot-pack unpack --name base base.tar.zst
	timeout 60 snapshot-pack verify base
	(($(stat -c %b base/upper.ext4) <= $(stat -c %b upper.ext4) + 64)) || fail "$(stat base/upper.ext4)"
}
