# oci-cache: what a cache holds, and what is removed from it.

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

# two_images puts the image one, with all artifacts, and the image two, of its first layer,
# into the cache.
two_images() {
	oci-materialize --quiet --target all --as one oci:demo:demo >one.json
	cp -r demo other
	chmod -R u+w other
	local config manifest
	config=$(jq -r '.config.digest' "demo/blobs/$(digest_file demo)")
	jq '.rootfs.diff_ids |= .[:1] | del(.history)' "demo/blobs/${config/://}" >config
	config=$(add_blob config)
	jq --arg d "$config" --argjson s "$(stat -c %s config)" '.config.digest = $d | .config.size = $s | .layers |= .[:1]' "demo/blobs/$(digest_file demo)" >manifest
	manifest=$(add_blob manifest)
	jq --arg d "$manifest" --argjson s "$(stat -c %s manifest)" '.manifests[0].digest = $d | .manifests[0].size = $s' demo/index.json >other/index.json
	oci-materialize --quiet --as two:v1 oci:other:demo >two.json
}

# digest_file LAYOUT is the file of its manifest, below blobs.
digest_file() { jq -r '.manifests[0].digest | sub(":"; "/")' "$1/index.json"; }

# add_blob FILE puts it into the layout other, and prints its digest.
add_blob() {
	local sum
	sum=$(sha256sum <"$1" | cut -d' ' -f1)
	cp "$1" "other/blobs/sha256/$sum"
	echo "sha256:$sum"
}

# files lists what is in the cache.
files() { (cd cache && find blobs layers fsmeta vmdk rootfs -type f | sort); }

@test "ls, inspect and their JSON" {
	two_images
	run --separate-stderr oci-cache ls
	assert_ok
	[ "$(head -n 3 <<<"$output" | awk '{print $1, $3, $4}')" = $'NAME PLATFORM LAYERS\ndocker.io/library/one:latest linux/amd64 3\ndocker.io/library/two:v1 linux/amd64 1' ] || show "other images"
	[[ ${lines[3]} == "2 images, "*"in $PWD/cache; 0 B of it needed by none" ]] || show "another last line"
	run --separate-stderr oci-cache ls --json
	assert_ok
	[ "$(field '.size')" = "$(files | sed s,^,cache/, | xargs stat -c %s | awk '{s += $1} END {print s}')" ] || show "another size"
	[ "$(field '.unheld, (.images | length), .images[1].layers[0].shared, .images[0].layers[2].shared')" = $'0\n2\n1\n0' ] || show "wrong"
	[ "$(field '[.images[] | .manifest] | join(" ")')" = "$(jq -r .manifest.digest one.json two.json | paste -sd' ')" ] || show "other manifests"
	whole=$output
	run --separate-stderr oci-cache inspect --json two:v1 one
	assert_ok
	[ "$(field 'map(.name) | join(" ")')" = 'docker.io/library/two:v1 docker.io/library/one:latest' ] || show "other images"
	[ "$(field '.[1]')" = "$(jq '.images[0]' <<<"$whole")" ] || show "not as ls has it"
	for kind in layers fsmeta vmdk rootfs; do
		[ "$(field '.[] | .layers[].images[]?, .artifacts[] | .name' | grep "^$kind/" | sort -u)" = "$(files | grep "^$kind/")" ] || show "other $kind"
	done
	run --separate-stderr oci-cache inspect "$(jq -r .manifest.digest two.json | cut -c 8-19)"
	assert_ok
	grep -qx 'name *docker.io/library/two:v1' <<<"$output" || show "no name"
	grep -q "^0 .* here  .* 1  *$(jq -r '.layers[0].digest' two.json) " <<<"$output" || show "no layer"
	on_terminal 'stty cols 80; oci-cache inspect two:v1'
	grep -q "^0 .* $(jq -r '.layers[0].digest' two.json | cut -c 1-19) " <<<"$output" || show "no digest that is cut short"
	oci-cache ls --json -o list.json
	diff <(jq 'del(.images[].last_used)' list.json) <(jq 'del(.images[].last_used)' <<<"$whole")
}

@test "an image by its name, its digest and the beginning of that" {
	two_images
	digest=$(jq -r .manifest.digest one.json)
	for word in one one:latest library/one docker.io/library/one:latest docker://one "$digest" "${digest:7:8}" "${digest:0:20}"; do
		run --separate-stderr oci-cache inspect --json "$word"
		assert_ok
		[ "$(field '.[].manifest')" = "$digest" ] || show "$word is another image"
	done
	for word in "${digest:7:7}" three one:v2 "x$digest" ' ' $'\x1b[31m'; do
		run --separate-stderr oci-cache rm one "$word"
		assert_error oci-cache 1 'not in the cache'
		[[ $stderr != *$'\x1b'* ]] || show "an escape sequence"
	done
	run --separate-stderr oci-cache rm one ''
	assert_error oci-cache 2 'argument is empty'
	[ "$(oci-cache ls --json | jq '.images | length')" = 2 ] || fail "an image is gone although another word was wrong"
}

@test "rm frees what the image alone needs" {
	two_images
	alone=$(oci-cache inspect --json one | jq '.[].alone')
	before=$(oci-cache ls --json | jq .size)
	run --separate-stderr oci-cache rm --json one
	assert_ok
	[ "$(field '.freed, .size')" = "$alone"$'\n'"$((before - alone))" ] || show "not $alone"
	[ "$(field '.images[].name')" = docker.io/library/one:latest ] || show "another image"
	run --separate-stderr oci-materialize --pull never two:v1
	assert_ok
	[ "$(field .hit)" = true ] || show "something of the other image was made again"
	run --separate-stderr oci-cache rm two:v1
	assert_ok
	[[ $output == "removed docker.io/library/two:v1 "*$'\nfreed '*'; 0 B left' ]] || show "other words"
	[ -z "$(files)" ] || fail "$(files)"
	run --separate-stderr oci-cache rm two:v1
	assert_error oci-cache 1 'two:v1: not in the cache'
	[[ $stderr == *'hint: oci-cache ls'* ]] || show "no hint"
}

@test "prune: what nothing needs, by age, by size" {
	two_images
	kept=$(files)
	echo stray >stray
	sum=$(sha256sum <stray | cut -d' ' -f1)
	cp stray "cache/blobs/sha256/$sum"
	echo mine >cache/layers/README
	run --separate-stderr oci-cache prune
	assert_ok
	[[ $output == 'freed 6 B in 1 file; '*' left' ]] || show "other words"
	[ "$(files)" = "$(sort <<<"$kept"$'\nlayers/README')" ] || fail "$(files)"

	one=cache/blobs/$(jq -r '.manifest.digest | sub(":"; "/")' one.json)
	touch -d '3 days ago' "$one"
	run --separate-stderr oci-cache prune --older-than 4d
	assert_ok
	[[ $output == 'freed 0 B in 0 files; '* ]] || show "too young"
	run --separate-stderr oci-cache prune --json --older-than=71h --max-size=1T
	assert_ok
	[ "$(field '.images[].name')" = docker.io/library/one:latest ] || show "another image"
	[ "$(field .size)" = "$(oci-cache ls --json | jq .size)" ] || show "another size"

	oci-materialize --quiet --as one oci:demo:demo >one.json
	touch -d '3 days ago' "cache/blobs/$(jq -r '.manifest.digest | sub(":"; "/")' two.json)"
	size=$(oci-cache ls --json | jq .size)
	run --separate-stderr oci-cache prune --json --max-size "$size"
	[ "$(field '.images | length')" = 0 ] || show "all fits"
	run --separate-stderr oci-cache prune --json --max-size "$((size - 1))"
	[ "$(field '.images[].name')" = docker.io/library/two:v1 ] || show "not the one that was not used for longest"
	oci-materialize --pull never --print vmdk one
	oci-cache prune --max-size 0
	[ "$(files)" = layers/README ] || fail "$(files)"
	[ "$(<cache/layers/README)" = mine ]
}

@test "using an image keeps it from being the oldest" {
	two_images
	find cache/blobs -type f -exec touch -d '2 days ago' {} +
	oci-fetch --pull never --list two:v1 >/dev/null
	oci-cache prune --older-than 1d
	[ "$(oci-cache ls --json | jq -r '.images[].name')" = docker.io/library/two:v1 ] || fail "$(oci-cache ls)"
}

@test "a prune while an image arrives takes nothing of it" {
	bad_registry -layout r=demo
	oci-fetch "$reg/r:demo" >want.tar
	oci-cache prune --max-size 0
	behave '{"Rate":200000, "Latency":"50ms"}'
	oci-fetch "$reg/r:demo" >got.tar 2>said 3>&- &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		oci-cache prune --quiet --max-size 0 >>log
	done
	wait $pid || fail "$(<said)"
	[ ! -s said ] || fail "$(<said)"
	cmp want.tar got.tar
	run --separate-stderr oci-cache verify
	assert_ok
}

@test "a prune that is killed leaves a cache that is right" {
	for _ in 1 2 3; do
		two_images
		oci-cache prune --max-size 0 >/dev/null 3>&- &
		pid=$!
		sleep 0.00$((RANDOM % 9))
		kill -9 $pid 2>/dev/null || true
		wait $pid 2>/dev/null || true
		run --separate-stderr oci-cache verify --json
		assert_ok
		oci-cache prune >/dev/null
		[ "$(oci-cache ls --json | jq .unheld)" = 0 ] || fail "$(oci-cache ls)"
		rm -rf other
	done
}

@test "more than the limit is left if it is in use" {
	bad_registry -image r:v1=2x3000000
	behave '{"Rate":1000000}'
	oci-fetch -o image.tar "$reg/r:v1" 3>&- &
	pid=$!
	# shellcheck disable=SC2016 # for later
	eventually bash -c '[ "$(oci-cache ls --json | jq .size)" -gt 0 ]'
	run --separate-stderr oci-cache prune --max-size=0
	assert_status 0
	[[ $output == 'freed 0 B in 0 files; '*' left, '*' only because it is in use' ]] || show "other words"
	assert_stderr_line oci-cache "warning: $PWD/cache: more than --max-size is left: it is in use"
	run --separate-stderr oci-cache prune --quiet --max-size=0
	assert_ok
	wait $pid
}

@test "verify finds damage, and --repair removes it" {
	two_images
	run --separate-stderr oci-cache verify
	assert_ok
	[[ $output == 'verified '*': 0 faults' ]] || show "other words"
	cp -a cache good
	layer=cache/$(files | grep ^layers | head -n 1)
	chmod u+w "$layer"
	printf x | dd of="$layer" bs=1 seek=5000 conv=notrunc status=none
	blob=cache/blobs/$(jq -r '.layers[1].digest | sub(":"; "/")' one.json)
	chmod u+w "$blob"
	truncate -s 10 "$blob"
	mkfifo cache/vmdk/pipe
	run --separate-stderr oci-cache verify
	assert_status 1
	assert_stderr_line oci-cache "$PWD/cache: "
	[[ $stderr == *'hint: --repair removes what is damaged' ]] || show "no hint"
	for line in "${layer#cache/}: " "${blob#cache/}: damaged: its digest is" 'vmdk/pipe: not of the cache, left alone' 'index.json: docker.io/library/one:latest: layer 1 sha256:'; do
		grep -qF "$line" <<<"$output" || show "no line $line"
	done
	run --separate-stderr oci-cache verify --json
	assert_status 1
	[ "$(field '.faults[].repair, .foreign[]' | sort -u)" = $'null\nvmdk/pipe' ] || show "wrong"
	run --separate-stderr oci-cache verify --repair
	assert_ok
	grep -q "^${blob#cache/}: damaged.*(removed)$" <<<"$output" || show "not removed"
	run --separate-stderr oci-cache verify
	assert_ok
	# What is gone is fetched and made again, with the same bytes.
	oci-materialize --quiet --target all --as one oci:demo:demo >one.json
	oci-materialize --quiet --as two:v1 oci:other:demo >two.json
	rm cache/vmdk/pipe
	diff -r good/layers cache/layers
	diff -r good/blobs cache/blobs
	run --separate-stderr oci-cache verify
	assert_ok
}

@test "compressed artifacts beside plain ones, and alone" {
	two_images
	plain=$(files)
	oci-materialize --quiet --target all -z zstd --as one oci:demo:demo >small.json
	oci-materialize --quiet -z zstd --device-table no --as one oci:demo:demo >/dev/null
	run --separate-stderr oci-cache verify
	assert_ok
	run --separate-stderr oci-cache ls --json
	assert_ok
	[ "$(field '.size')" = "$(files | sed s,^,cache/, | xargs stat -c %s | awk '{s += $1} END {print s}')" ] || show "another size"
	[ "$(field '.unheld, (.images[0].layers[0].images | length), (.images[0].layers[2].images | length), (.images[1].layers[0].images | length)')" = $'0\n2\n2\n2' ] || show "other images"
	[ "$(oci-cache inspect one | grep -c '^[0-9] .* z1-zstd-3-64k')" = 3 ] || fail "$(oci-cache inspect one)"

	layer=$(jq -r '.layers[1].path' small.json)
	cp "$layer" good
	chmod u+w "$layer"
	printf x | dd of="$layer" bs=1 seek=$(($(stat -c %s "$layer") - 2000)) conv=notrunc status=none
	run --separate-stderr oci-cache verify --json
	assert_status 1
	[ "$(field '.faults[].file' | sort | cut -d/ -f1 | paste -sd' ')" = 'layers vmdk vmdk' ] || show "other faults"
	[ "$(field '.faults[].file' | grep -vc -- -z1-zstd-3-64k)" = 0 ] || show "a plain one is damaged"
	run --separate-stderr oci-cache verify --repair
	assert_ok
	run --separate-stderr oci-materialize --pull never one
	assert_ok
	[ "$(field .hit)" = true ] || show "a plain one is gone"
	oci-materialize --quiet --pull never -z zstd --target all one >again.json
	cmp "$layer" good
	[ "$(jq -c '[.layers[].built]' again.json)" = '[false,true,false]' ] || fail "$(<again.json)"

	cp "$layer" "${layer%-z1-zstd*}-nobody-knows.erofs"
	run --separate-stderr oci-cache verify
	assert_ok
	oci-cache prune >/dev/null
	[ "$(comm -23 <(echo "$plain") <(files))" = '' ] || fail "prune took plain artifacts"
	run --separate-stderr oci-cache rm one two:v1
	assert_ok
	[ -z "$(files)" ] || fail "$(files)"

	oci-materialize --quiet --target all -z lz4 --as one oci:demo:demo >/dev/null
	run --separate-stderr oci-cache verify
	assert_ok
	[ "$(oci-cache ls --json | jq .unheld)" = 0 ] || fail "$(oci-cache ls)"
	oci-cache prune --max-size 0 >/dev/null
	[ -z "$(files)" ] || fail "$(files)"
}

@test "a cache without its index, and one that is hostile" {
	two_images
	echo '{"manifests": 5' >cache/index.json
	for command in ls 'inspect one' 'rm one' prune; do
		# shellcheck disable=SC2086 # two words
		run --separate-stderr oci-cache $command
		assert_error oci-cache 1 "$PWD/cache/index.json: not an index: the JSON is cut short"
	done
	[ -n "$(files)" ] || fail "everything was removed"
	oci-cache verify --repair >/dev/null
	[ "$(oci-cache ls --json | jq -c .images)" = '[]' ] || fail "$(oci-cache ls)"

	printf '{"schemaVersion":2,"manifests":[{"digest":"sha256:%064d","size":1,"annotations":{"org.opencontainers.image.ref.name":"a\\u001b[31mb\\n\\u202e"}},{"digest":"sha256:../../etc/passwd","size":1},7]}\n' 1 >cache/index.json
	run --separate-stderr oci-cache ls
	assert_ok
	[[ $output == *'a [31mb'*' not complete'* && $output != *$'\x1b'* ]] || show "not made fit"
	run --separate-stderr oci-cache inspect 00000000
	assert_ok
	[[ $output != *$'\x1b'* && $output == *'problem  '*'is missing'* ]] || show "wrong"
	run --separate-stderr oci-cache rm "$(printf 'a\x1b[31mb\n\u202e')"
	assert_ok
	[[ $output == 'removed a [31mb'* && $output != *$'\x1b'* ]] || show "wrong"
	[[ $(<cache/index.json) == *'sha256:../../etc/passwd'* ]] || fail "$(<cache/index.json)"
}

@test "a read-only cache" {
	need_root
	full_disk 64m
	OCIPIPE_CACHE=$PWD/full/cache oci-materialize --quiet --as one oci:demo:demo >/dev/null
	mount -o remount,ro full
	export OCIPIPE_CACHE=$PWD/full/cache
	for command in ls 'inspect one' verify 'verify --repair'; do
		# shellcheck disable=SC2086 # two words
		run --separate-stderr oci-cache $command
		assert_ok
	done
	for command in prune 'rm one'; do
		# shellcheck disable=SC2086 # two words
		run --separate-stderr oci-cache $command
		assert_error oci-cache 1 'cannot write to the cache'
	done
	umount full
}

@test "a directory that is no cache, and none at all" {
	for command in ls prune verify; do
		run --separate-stderr oci-cache $command
		assert_error oci-cache 1 "cache $PWD/cache: no such directory"
	done
	[ ! -e cache ]
	mkdir cache
	echo hello >cache/file
	run --separate-stderr oci-cache prune
	assert_error oci-cache 1 "cache $PWD/cache: "
	[ "$(<cache/file)" = hello ]
	unset OCIPIPE_CACHE
	run --separate-stderr oci-cache ls # that of the user, which is empty
	assert_ok
	assert_output "0 images, 0 B in $HOME/.cache/ocipipe; 0 B of it needed by none"
	HOME='' run --separate-stderr oci-cache ls
	assert_error oci-cache 2 'no cache: neither --cache nor a home directory'
}

@test "wrong usage" {
	while read -r args; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr oci-cache $args
		assert_status 2
		[ -z "$output" ] || show "something on standard output"
	done <<-'END'

		list
		ls one
		rm
		inspect
		prune one
		prune --older-than 5
		prune --older-than 5y
		prune --older-than -5d
		prune --older-than 99999999999999w
		prune --max-size big
		prune --max-size -1
		verify -j -1
		ls --repair
	END
	run --separate-stderr oci-cache prune --older-than 30
	assert_error oci-cache 2 '"30" is not an age: want a number and s, m, h, d or w, such as 12h or 30d'
}

@test "a full output, and a reader that leaves" {
	two_images
	run --separate-stderr bash -c 'oci-cache ls --json >/dev/full'
	assert_error oci-cache 1 'standard output: write: no space left on device'
	run --separate-stderr bash -c 'set -o pipefail; oci-cache ls | true; oci-cache ls | head -n 1'
	[ "${#lines[@]}" = 1 ] || show "more lines"
	[ -z "$stderr" ] || show "something was said"
}
