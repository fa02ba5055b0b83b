# oci-fetch and registries that break, lie, or ask for patience: as the user meets
# them. Each case counts what was asked.

load helpers
load registries
setup() {
	common_setup
	registries_setup
}
teardown() { stop_registries; }

# image [SIZE] serves image r:v1 of two layers, and leaves what it should be in
# want.tar. Layer 0 has the digest $layer.
image() {
	bad_registry -image "r:v1=2x${1:-3000000}"
	ref=$reg/r:v1
	oci-fetch --no-cache "$ref" >want.tar
	layer=$(digests --no-cache "$ref" | head -n 1)
}

# The ways to fetch: as a stream, in several connections into a cache, and in the
# long tests in several into a spool file.
ways=("--no-cache --connections 1 -j1" "--cache cache")
[ "${SOAK:-}" != true ] || ways+=(--no-cache)

# fetches BEHAVIOUR [FLAG...]: oci-fetch gives the image in each way.
fetches() {
	local behaviour=$1 flags
	shift
	for flags in "${ways[@]}"; do
		behave "$behaviour" || return
		# shellcheck disable=SC2086 # flags
		run --separate-stderr bash -c 'oci-fetch "$@" >got.tar' - $flags "$@" "$ref"
		assert_status 0 || return
		cmp want.tar got.tar || return
		rm -rf cache
	done
}

# refuses BEHAVIOUR STATUS TEXT [FLAG...]: oci-fetch fails like that in each way, and
# leaves FILE of -o FILE as it was.
refuses() {
	local behaviour=$1 code=$2 text=$3 flags
	shift 3
	for flags in "${ways[@]}"; do
		behave "$behaviour" || return
		rm -f got.tar
		echo before >out
		# shellcheck disable=SC2086 # flags
		run --separate-stderr oci-fetch $flags "$@" -o out "$ref"
		assert_error oci-fetch "$code" "$text" || return
		[ "$(<out)" = before ] || fail "out was changed" || return
		rm -rf cache
		assert_no_debris out want.tar || return
	done
}

@test "redirects to a store that takes no credentials" {
	image
	fetches '{"Redirect":true,"Auth":"bearer"}'
	[ "$(served .Leaks)" = 0 ] || fail "$(served .Leaks) requests with credentials"
	[ "$(served '[.Requests | keys[] | select(contains("storage/"))] | length')" -gt 1 ] || fail "$(served .Requests)"
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$reg" "$(printf 'me:secret' | base64)" >auth.json
	fetches '{"Redirect":true,"Auth":"basic","User":"me","Password":"secret"}' --authfile auth.json
	[ "$(served .Leaks)" = 0 ] || fail "$(served .Leaks) requests with credentials"
	# The URL expires, and is asked for anew to go on.
	fetches '{"Redirect":true,"RedirectUses":1,"Rules":[{"Match":"storage","Times":3,"Break":"reset","At":300000}]}'
}

@test "tokens: every form of them, and one that is soon used up" {
	image
	fetches '{"Auth":"bearer","TokenField":"access_token"}'
	fetches '{"Auth":"bearer","TokenField":"both","ExpiresIn":3600}'
	fetches '{"Auth":"bearer","Challenge":"Basic realm=\"x, y\"\nBearer service=\"a, b\",realm=\"{realm}\""}'
	fetches '{"Auth":"bearer","TokenUses":4,"ExpiresIn":1,"Rules":[{"Match":"blobs/","Break":"reset","At":400000,"Times":6}]}'
	[ "$(served .Tokens)" -gt 1 ] || fail "$(served .Tokens) tokens"
	[ "$(served .Expired)" -gt 0 ] || fail "no token expired"
	printf '{"auths":{"%s":{"identitytoken":"identity"}}}' "$reg" >auth.json
	fetches '{"Auth":"bearer","User":"me","Password":"x","IdentityToken":"identity"}' --authfile auth.json
	rm auth.json
	refuses '{"Auth":"bearer","User":"me","Password":"x"}' 1 'UNAUTHORIZED: incorrect username or password (HTTP 401)'
}

@test "too many requests: it waits as long as it is told" {
	image
	for after in 1 date:2s; do
		behave '{"Rules":[{"Match":"/blobs/'"$layer"'","Times":1,"Status":429,"RetryAfter":"'$after'","Code":"TOOMANYREQUESTS","Message":"slow down"}]}'
		begin=${EPOCHREALTIME/./}
		run --separate-stderr bash -c 'oci-fetch --no-cache --progress=json "$1" >got.tar' - "$ref"
		assert_status 0
		cmp want.tar got.tar
		[ $((${EPOCHREALTIME/./} - begin)) -gt 900000 ] || fail "it did not wait"
		[[ $stderr == *'"event":"retry"'*'TOOMANYREQUESTS: slow down'* ]] || show "no retry is shown"
	done
	refuses '{"Rules":[{"Match":"/blobs/'"$layer"'","Status":429,"Code":"TOOMANYREQUESTS","Message":"slow down"}]}' 75 'TOOMANYREQUESTS: slow down (HTTP 429)' --retries 1
	refuses '{"Rules":[{"Match":"/manifests/","Status":429,"Code":"TOOMANYREQUESTS","Message":"slow down"}]}' 75 'TOOMANYREQUESTS: slow down (HTTP 429)' --retries 0
}

@test "a registry that is down for a moment, or for longer" {
	image
	fetches '{"Rules":[{"Match":"/manifests/","Times":1,"Status":503},{"Match":"/blobs/","Times":2,"Status":502},{"Match":"/blobs/","Times":1,"Break":"drop"}]}'
	refuses '{"Rules":[{"Match":"/blobs/'"$layer"'","Status":503,"Code":"UNAVAILABLE","Message":"in maintenance"}]}' 75 'UNAVAILABLE: in maintenance (HTTP 503)' --retries 1
	[ "$(served '[.Requests | to_entries[] | select(.key | contains("'"$layer"'")) | .value] | add')" -le 12 ] || fail "$(served .Requests)"
	refuses '{"Rules":[{"Match":"/manifests/","Break":"drop"}]}' 75 'manifest: ' --retries 0
}

@test "connections that break in the middle" {
	image
	fetches '{"Seed":1,"Rules":[{"Match":"/blobs/","Times":8,"Break":"reset","Within":900000}]}'
	fetches '{"Seed":2,"Rules":[{"Match":"/blobs/","Times":8,"Break":"close","Within":900000}]}'
	# What arrived is not asked for again, but for what a reset throws away.
	behave '{"Seed":3,"Rules":[{"Match":"/blobs/","Times":6,"Break":"close","Within":900000}]}'
	oci-fetch --no-cache "$ref" | cmp want.tar -
	[ "$(served '[.Blobs[] | .Again] | add')" -lt 500000 ] || fail "$(served .Blobs)"
	refuses '{"Rules":[{"Match":"/blobs/'"$layer"'","Break":"close","At":0}]}' 75 'layer 0: ' --retries 1
}

@test "a registry that says nothing any more" {
	image
	fetches '{"Rules":[{"Match":"/blobs/","Times":2,"Break":"stall","At":100000}]}' --timeout 1s
	refuses '{"Rules":[{"Match":"/blobs/'"$layer"'","Break":"stall","At":0}]}' 75 'layer 0: ' --timeout 1s --retries 1
	refuses '{"Rules":[{"Match":"/manifests/","Wait":"1h"}]}' 75 'manifest: ' --timeout 1s --retries 0
	# Slow is not silent.
	fetches '{"Rules":[{"Match":"/blobs/","Piece":300000,"Pause":"120ms"}]}' --timeout 1s
}

@test "lengths that are wrong are refused" {
	image
	for length in -1000 1000; do
		refuses '{"Rules":[{"Match":"/blobs/'"$layer"'","Length":'$length'}]}' 1 'wrong size' --retries 1
	done
}

@test "bytes that are wrong are refused, and not asked for again" {
	image
	config=$(oci-fetch --no-cache --list "$ref" | awk '$1 == "config" { print $2 }')
	manifest=$(oci-fetch --no-cache --manifest "$ref" | sha256sum | cut -d' ' -f1)
	for at in 1 1500000 3000000; do
		refuses '{"Rules":[{"Match":"/blobs/'"$layer"'","Flip":'$at'}]}' 1 "layer 0: corrupt image: "
		[[ $stderr == *"$layer"* ]] || show "which?"
		[ "$(served '.Blobs["'"$layer"'"].Again')" = 0 ] || fail "$(served '.Blobs["'"$layer"'"]')"
	done
	refuses '{"Rules":[{"Match":"/blobs/'"$config"'","Flip":5}]}' 1 'configuration: corrupt image'
	ref=$reg/r@sha256:$manifest
	refuses '{"Rules":[{"Match":"/manifests/","Flip":5}]}' 1 'corrupt image'
}

@test "what a wrong byte has spoilt is not kept" {
	image
	behave '{"Rules":[{"Match":"/blobs/'"$layer"'","Flip":1500000}]}'
	run --separate-stderr oci-fetch --cache cache -o out "$ref"
	assert_status 1
	behave '{}'
	run --separate-stderr bash -c 'oci-fetch --cache cache "$1" >got.tar' - "$ref"
	assert_ok
	cmp want.tar got.tar
}

@test "ranges that are ignored, refused, or answered wrongly" {
	image
	for how in ignore refuse short start unlabeled multipart; do
		fetches '{"Rules":[{"Match":"Range: ","Range":"'$how'"}]}' || fail "range: $how"
		# Also where a connection breaks, and the rest is asked for.
		fetches '{"Seed":4,"Rules":[{"Match":"/blobs/","Times":2,"Break":"close","At":700000,"Range":"'$how'"},{"Match":"Range: ","Range":"'$how'"}]}' || fail "range: $how"
	done
	behave '{"Rules":[{"Match":"Range: ","Range":"total"}]}'
	run --separate-stderr oci-fetch --no-cache -o out "$ref"
	assert_error oci-fetch 1 'wrong size'
	# Nobody can tell, but by the digest.
	behave '{"Rules":[{"Match":"Range: ","Range":"lie"}]}'
	run --separate-stderr oci-fetch --no-cache -o out "$ref"
	assert_error oci-fetch 1 'corrupt image'
	assert_no_debris want.tar got.tar
}

@test "blobs and manifests that are not there" {
	image
	refuses '{"Rules":[{"Match":"/blobs/'"$layer"'","Status":404,"Code":"BLOB_UNKNOWN","Message":"blob unknown to registry"}]}' 1 'BLOB_UNKNOWN: blob unknown to registry (HTTP 404)'
	refuses '{"Rules":[{"Match":"/blobs/","Status":403,"Code":"DENIED","Message":"not yours"}]}' 1 'DENIED: not yours (HTTP 403)'
	refuses '{"Rules":[{"Match":"/manifests/","Status":404,"Code":"MANIFEST_UNKNOWN","Message":"gone\u001b[31m"}]}' 1 'MANIFEST_UNKNOWN: gone'
	[[ $stderr != *$'\e'* ]] || show "an escape reached the terminal"
}

@test "progress: bars of a pull, and none after an interrupt or an error" {
	need script
	image 6000000
	behave '{"Rate":2000000}'
	TERM=xterm run script -qec "stty cols 100 rows 30; oci-fetch --no-cache -o out $ref" /dev/null </dev/null
	assert_status 0
	cmp want.tar out
	[[ $output == *"layer 0 "*"[="*"MiB/s"* && $output == *"layer 1 "* ]] || show "no bars"
	[[ $output == *$'A\r\e[J' ]] || show "the bars were not removed"
	rm out
	behave '{"Rate":300000}'
	TERM=xterm run script -qec "stty cols 100 rows 30; timeout -s INT --foreground 1.5 oci-fetch --no-cache -o out $ref" /dev/null </dev/null
	[[ $output == *"layer 0 "*$'A\r\e[J' ]] || show "the bars were not removed"
	assert_no_debris want.tar
	behave '{"Rate":2000000,"Rules":[{"Match":"/blobs/'"$layer"'","Wait":"1s","Status":403,"Code":"DENIED","Message":"no more"}]}'
	TERM=xterm run script -qec "stty cols 100 rows 30; oci-fetch --no-cache -o out $ref" /dev/null </dev/null
	[[ $output == *$'\e[J'"oci-fetch: "* ]] || show "the error is not alone on its line"
}

@test "progress: a reader that does not read holds up nothing" {
	image 6000000
	behave '{"Seed":1,"Rules":[{"Match":"/blobs/","Piece":10000,"Pause":"1ms"}]}'
	mkfifo fifo
	exec 8<>fifo
	head -c 1M /dev/zero | tr '\0' x | dd of=fifo oflag=nonblock bs=4096 status=none 2>/dev/null || true
	run --separate-stderr timeout 60 bash -c 'oci-fetch --no-cache --progress-fd 8 "$1" >got.tar' - "$ref"
	assert_ok
	cmp want.tar got.tar
	exec 8>&-
	behave '{}'
	run --separate-stderr bash -c 'oci-fetch --no-cache --progress=json "$1" 2>&1 >got.tar | head -n 1; exit "${PIPESTATUS[0]}"' - "$ref"
	assert_status 0
	cmp want.tar got.tar
}
