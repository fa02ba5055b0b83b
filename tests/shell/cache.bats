# The cache of oci-fetch, and how downloads go on where they ended.

load helpers
load registries
setup() {
	common_setup
	demo_image demo
	registries_setup
}
teardown() { stop_registries; }

# blob DIGEST is its file in the directory cache.
blob() { echo "cache/blobs/${1/://}"; }

@test "what was fetched is not fetched again" {
	bad_registry -layout r=demo
	oci-fetch --cache cache "$reg/r:demo" >first.tar
	behave '{}'
	run --separate-stderr bash -c "oci-fetch --cache cache $reg/r:demo >second.tar"
	assert_ok
	cmp first.tar second.tar
	[ "$(served '.Requests | length')" = 0 ] || fail "$(served .Requests)"
	# The directory by variable, and by default.
	OCIPIPE_CACHE=cache run --separate-stderr oci-fetch --pull never --list "$reg/r:demo"
	assert_ok
	run --separate-stderr oci-fetch --pull never --list "$reg/r:demo"
	assert_error oci-fetch 1 "not found in the cache $HOME/.cache/ocipipe: "
	XDG_CACHE_HOME=$PWD/xdg oci-fetch "$reg/r:demo" >/dev/null
	[ -e xdg/ocipipe/index.json ]
	[ -z "$(find "$HOME/.cache/ocipipe/blobs" -type f)" ]
	behave '{}'
	oci-fetch --no-cache "$reg/r:demo" | cmp first.tar -
	[ "$(served '.Requests | length')" = 5 ] || fail "$(served .Requests)"
}

@test "a tag that moves: if-missing, always, never" {
	cp -r demo other
	chmod -R u+w other
	digest=$(jq -r '.manifests[0].digest' demo/index.json)
	jq '.annotations={"a":"b"}' "demo/blobs/${digest/://}" >manifest
	sum=$(sha256sum <manifest | cut -d' ' -f1)
	cp manifest "other/blobs/sha256/$sum"
	jq ".manifests[0].digest=\"sha256:$sum\" | .manifests[0].size=$(stat -c %s manifest)" demo/index.json >other/index.json
	docker_registry
	push demo:demo a:v1
	oci-fetch --cache cache "$reg/a:v1" >old.tar
	push other:demo a:v1
	oci-fetch --cache cache "$reg/a:v1" | cmp old.tar -
	oci-fetch --cache cache --pull never "$reg/a:v1" | cmp old.tar -
	[ "$(oci-fetch --cache cache --pull always --manifest "$reg/a:v1")" = "$(<manifest)" ]
	oci-fetch --cache cache --pull always "$reg/a:v1" >new.tar
	run ! cmp -s old.tar new.tar
	oci-fetch --cache cache --pull if-missing "$reg/a:v1" | cmp new.tar -
	# The old one is still there, by its digest.
	oci-fetch --cache cache --pull never --list --digests "$reg/a@$digest"
}

@test "always fetches the manifest alone, and force everything" {
	bad_registry -layout r=demo
	oci-fetch --cache cache "$reg/r:demo" >first.tar
	behave '{}'
	oci-fetch --cache cache --pull always "$reg/r:demo" | cmp first.tar -
	[ "$(served '[.Requests | keys[] | select(contains("/blobs/"))] | length')" = 0 ] || fail "$(served .Requests)"
	[ "$(served '[.Requests | keys[] | select(contains("/manifests/"))] | length')" = 1 ] || fail "$(served .Requests)"
	behave '{}'
	oci-fetch --cache cache --force "$reg/r:demo" | cmp first.tar -
	[ "$(served '[.Requests | keys[] | select(contains("/blobs/"))] | length')" = 4 ] || fail "$(served .Requests)"
	kill "${pids[-1]}"
	run --separate-stderr oci-fetch --cache cache --pull always --retries 0 "$reg/r:demo"
	assert_error oci-fetch 75 refused
	oci-fetch --cache cache "$reg/r:demo" | cmp first.tar -
}

@test "never names each blob that is missing, and asks nobody" {
	bad_registry -layout r=demo
	ref=$reg/r:demo
	oci-fetch --cache cache "$ref" >/dev/null
	behave '{}'
	mapfile -t layers < <(digests oci:demo)
	chmod -R u+w cache
	rm "$(blob "${layers[0]}")" "$(blob "${layers[2]}")"
	echo before >out
	run --separate-stderr oci-fetch --cache cache --pull never -o out "$ref"
	assert_error oci-fetch 1 "${layers[0]}"
	[[ $stderr == *"${layers[2]}"* && $stderr != *"${layers[1]}"* ]] || show "other layers"
	[ "$(<out)" = before ] || fail "out was changed"
	oci-fetch --cache cache --pull never --layer 1 "$ref" | cmp "demo/blobs/${layers[1]/://}" -
	run --separate-stderr oci-fetch --cache cache --pull never --layer 2 "$ref"
	assert_error oci-fetch 1 "${layers[2]}"
	run --separate-stderr oci-fetch --cache cache --pull never "$reg/other:v1"
	assert_error oci-fetch 1 'its manifest'
	[[ $stderr == *$'\noci-fetch: hint: without --pull never it is fetched from the registry' ]] || show "no hint"
	run --separate-stderr oci-fetch --cache none --pull never "$ref"
	assert_error oci-fetch 1 'none'
	[ "$(served '.Requests | length')" = 0 ] || fail "$(served .Requests)"
	oci-fetch --cache cache "$ref" >/dev/null
	[ "$(served '[.Requests | keys[] | select(contains("/blobs/"))] | length')" = 2 ] || fail "$(served .Requests)"
}

@test "a corrupt blob in the cache" {
	bad_registry -layout r=demo
	oci-fetch --cache cache "$reg/r:demo" >want.tar
	layer=$(digests oci:demo | head -n 1)
	chmod -R u+w cache
	printf X | dd of="$(blob "$layer")" bs=1 seek=50 conv=notrunc status=none
	run --separate-stderr bash -c "oci-fetch --cache cache --verify-cache $reg/r:demo >got.tar"
	assert_status 0
	cmp want.tar got.tar
	[[ $stderr == *"warning: "*"${layer#*:}"* ]] || show "no warning"
	run --separate-stderr bash -c "oci-fetch --cache cache --verify-cache --pull never $reg/r:demo >got.tar"
	assert_ok # it was mended
	chmod -R u+w cache
	truncate -s 100 "$(blob "$layer")"
	run --separate-stderr bash -c "oci-fetch --cache cache $reg/r:demo >got.tar"
	assert_status 0
	cmp want.tar got.tar
}

@test "skopeo and oci-fetch read the cache as a layout" {
	bad_registry -layout r=demo
	oci-fetch --cache cache "$reg/r:demo" >want.tar
	skopeo --insecure-policy copy --quiet "oci:cache:$reg/r:demo" oci:copy:demo --preserve-digests
	[ "$(digests oci:copy)" = "$(digests oci:demo)" ]
	oci-fetch oci:cache | contents >a
	contents <want.tar | cmp a -
	# What skopeo has put into the cache counts too.
	mkdir shared
	skopeo --insecure-policy copy --quiet --src-tls-verify=false "docker://$reg/r:demo" oci:shared:x --preserve-digests
	behave '{}'
	oci-fetch --cache shared "$reg/r:demo" | cmp want.tar -
	[ "$(served '[.Requests | keys[] | select(contains("/blobs/"))] | length')" = 0 ] || fail "$(served .Requests)"
}

@test "crane reads the cache" {
	need crane
	bad_registry -layout r=demo
	oci-fetch --cache cache "$reg/r:demo" >/dev/null
	docker_registry
	crane push cache "$reg/copy:v1"
	[ "$(digests --no-cache "$reg/copy:v1")" = "$(digests oci:demo)" ]
}

@test "a cache that cannot be written serves what it has" {
	need_root
	bad_registry -layout r=demo -image other:v1=1x1000
	oci-fetch --cache cache "$reg/r:demo" >want.tar
	mkdir ro
	mount --bind -o ro cache ro
	for flags in "" "--pull always" "--pull never" --verify-cache; do
		# shellcheck disable=SC2086 # flags
		run --separate-stderr bash -c "oci-fetch --cache ro $flags $reg/r:demo >got.tar" || true
		cmp want.tar got.tar || break
		[[ $status = 0 && -z $stderr ]] || break
	done
	run --separate-stderr bash -c "oci-fetch --cache ro $reg/other:v1 | wc -c"
	umount ro
	assert_status 0
	[ "$output" -gt 1000 ] || show "what it has not is not fetched"
	cmp want.tar got.tar
}

@test "a cache that is full, or no directory" {
	need_root
	bad_registry -image r:v1=2x2000000
	mkdir small
	mount -t tmpfs -o size=3M tmpfs small
	run --separate-stderr bash -c "oci-fetch --cache small/cache $reg/r:v1 >got.tar"
	umount small
	assert_status 0
	[[ $stderr == *'no space left on device'* ]] || show "no warning"
	oci-fetch --no-cache "$reg/r:v1" | cmp got.tar -
	echo >file
	run --separate-stderr oci-fetch --cache file "$reg/r:v1"
	assert_error oci-fetch 1 'file'
}

@test "a download goes on after kill -9" {
	bad_registry -image r:v1=2x3000000 -behave '{"Rate":1000000}'
	for connections in 1 4; do
		behave '{"Rate":1000000}'
		rm -rf cache
		oci-fetch --cache cache --connections $connections "$reg/r:v1" >/dev/null 2>&1 &
		pid=$!
		eventually sh -c "curl -s http://$control/stats | jq -e '[.Blobs[].Bytes] | add > 2000000' >/dev/null"
		kill -9 $pid
		wait $pid || true
		first=$(served '[.Blobs[].Bytes] | add')
		behave '{}'
		run --separate-stderr bash -c "oci-fetch --cache cache $reg/r:v1 >got.tar"
		assert_ok
		second=$(served '[.Blobs[].Bytes] | add')
		# What was under way, in sockets and not yet noted, comes once more.
		[ $((first + second)) -lt 7500000 ] || fail "$first and $second bytes of 6000000, $connections connections"
		[ "$second" -lt 5000000 ] || fail "$second bytes after $first"
		oci-fetch --no-cache "$reg/r:v1" | cmp got.tar -
		[ -z "$(find cache -name '*.part')" ] || fail "parts are left: $(find cache -name '*.part')"
	done
}

@test "two processes fetch an image once" {
	bad_registry -image r:v1=2x2000000 -behave '{"Rate":2000000}'
	for i in 1 2 3; do
		oci-fetch --cache cache "$reg/r:v1" >"$i.tar" &
		running[i]=$!
	done
	for i in 1 2 3; do wait "${running[i]}"; done
	cmp 1.tar 2.tar && cmp 1.tar 3.tar
	[ "$(served '[.Blobs[] | select(.Size > 100000) | .Again] | add')" = 0 ] || fail "$(served .Blobs)"
}
