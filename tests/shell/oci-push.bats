# oci-push: into Debian's docker-registry, from where skopeo and oci-fetch take the image
# again, and into ours, which misbehaves.

load helpers
load registries
setup() {
	common_setup
	demo_image demo
	registries_setup
}
teardown() { stop_registries; }

# same REF: the image there is the one in demo, for skopeo and for us.
same() {
	oci-fetch --no-cache "$1" | contents | cmp - want.list || fail "$1 is another image" || return
	skopeo --insecure-policy copy --quiet --preserve-digests --src-tls-verify=false "docker://$1" oci:back:x
	[ "$(oci-fetch --manifest oci:back:x | sha256sum)" = "$(oci-fetch --manifest oci:demo | sha256sum)" ] || fail "$1 has another manifest"
	rm -r back
}

wanted() {
	oci-fetch oci:demo | contents >want.list
	digest=sha256:$(oci-fetch --manifest oci:demo | sha256sum | cut -d' ' -f1)
}

# tags NAME are those that the registry has.
tags() { curl -sS "http://$reg/v2/$1/tags/list" | jq -r '.tags // [] | .[]' | sort | xargs; }

@test "from a layout, an archive, a pipe and docker save" {
	docker_registry
	wanted
	oci-fetch -o image.tar oci:demo
	gzip -c image.tar >image.tar.gz
	n=0
	for line in 'oci-push REF demo' 'oci-push REF oci:demo:demo' 'oci-push REF image.tar' 'oci-push REF <image.tar' \
		'cat image.tar | oci-push REF' 'cat image.tar.gz | oci-push REF -' 'oci-fetch oci:demo | oci-push REF --chunk-size 1M -j1'; do
		n=$((n + 1))
		run --separate-stderr bash -c "${line//REF/$reg/a/b$n:v1}"
		assert_ok
		assert_output "$reg/a/b$n@$digest"
		same "$reg/a/b$n:v1"
	done
	skopeo --insecure-policy copy --quiet oci:demo:demo docker-archive:save.tar:x:y
	run --separate-stderr bash -c "oci-push $reg/saved save.tar && cat save.tar | oci-push $reg/saved"
	assert_ok
	[ "$(oci-fetch "$reg/saved" | contents)" = "$(<want.list)" ] || fail "another image"
	[ "$(tags saved)" = latest ]
}

@test "docker schema 2 stays what it is" {
	docker_registry
	convert demo:demo a:docker --format v2s2
	skopeo --insecure-policy copy --quiet --src-tls-verify=false "docker://$reg/a:docker" dir:dir
	oci-fetch --manifest "$reg/a:docker" >want
	oci-fetch "$reg/a:docker" | oci-push "$reg/b:v1" -o printed
	oci-fetch --no-cache --manifest "$reg/b:v1" | cmp - want
	grep -q 'docker.distribution.manifest.v2' want
	curl -sSI -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "http://$reg/v2/b/manifests/v1" | grep -qi '^content-type: application/vnd.docker.distribution.manifest.v2+json'
	[ "$(<printed)" = "$reg/b@sha256:$(sha256sum <want | cut -d' ' -f1)" ]
}

@test "an index is pushed whole, or one image of it" {
	docker_registry
	two_platforms demo
	index=$(jq -r '.manifests[0].digest' demo/index.json)
	run --separate-stderr oci-push "$reg/a:v1" demo
	assert_ok
	assert_output "$reg/a@$index"
	skopeo --insecure-policy copy --all --quiet --preserve-digests --src-tls-verify=false "docker://$reg/a:v1" oci:back:v1
	[ "$(jq -r '.manifests[0].digest' back/index.json)" = "$index" ]
	diff -r demo/blobs back/blobs | grep -v '^Only in demo' && fail "other blobs"
	[ "$(oci-fetch --platform linux/s390x --config "$reg/a:v1" | jq -r .architecture)" = s390x ]
	run --separate-stderr oci-push "$reg/b:v1" demo --platform linux/s390x
	assert_ok
	[ "$(oci-fetch --config "$reg/b:v1" | jq -r .architecture)" = s390x ]
	run --separate-stderr oci-push "$reg/b:v2" demo --platform linux/riscv64
	assert_error oci-push 1 'riscv64'
	# An image of the index is missing.
	two=$(jq -r '.manifests[1].digest' "demo/blobs/${index/://}")
	rm "demo/blobs/${two/://}"
	run --separate-stderr oci-push "$reg/c:v1" demo
	assert_error oci-push 1 "the index lists the image for linux/s390x, $two, which neither demo nor the registry has"
	[[ $stderr == *'hint: --platform'* ]] || show "no hint"
	[ "$(tags c)" = '' ]
	run --separate-stderr oci-push "$reg/a:v2" demo
	assert_ok
}

@test "tags" {
	docker_registry
	wanted
	oci-push "$reg/a:v1" demo --tag v2 --tag latest
	[ "$(tags a)" = 'latest v1 v2' ]
	oci-push "$reg/b" demo --tag v3
	[ "$(tags b)" = v3 ]
	oci-push "$reg/c@$digest" demo
	[ "$(tags c)" = '' ]
	same "$reg/c@$digest"
	run --separate-stderr oci-push "$reg/c@sha256:$(printf '%064d' 1)" demo
	assert_error oci-push 1 "the image in demo is $digest"
}

@test "what is there is not uploaded again, and layers are taken over" {
	bad_registry -behave '{"Push": true}'
	wanted
	oci-push "$reg/a:v1" demo >/dev/null
	behave '{"Push": true}'
	oci-push "$reg/a:v2" demo >/dev/null
	[ "$(served .Received)" = 0 ] || fail "uploaded again: $(served .Received)"
	oci-push "$reg/b:v1" demo --mount-from "$reg/a" --progress json 2>events >/dev/null
	[ "$(served .Received)" = 0 ] || fail "not taken over: $(served .Received)"
	grep -q '"reason":"taken over from a"' events || fail "$(<events)"
	same "$reg/b:v1"
}

@test "a password" {
	need htpasswd
	htpasswd -Bbn -C 4 me s3cret-word >passwd 2>/dev/null
	docker_registry "auth: {htpasswd: {realm: 'basic, realm', path: $PWD/passwd}}"
	run --separate-stderr oci-push "$reg/a:v1" demo
	assert_error oci-push 1 'Unauthorized (HTTP 401)'
	[[ $stderr == *"hint: no credentials for $reg were found"* ]] || show "no hint"
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$reg" "$(printf 'me:wr0ng-word' | base64)" >wrong.json
	run --separate-stderr oci-push --authfile wrong.json "$reg/a:v1" demo
	assert_error oci-push 1 'the credentials from wrong.json were refused'
	run --separate-stderr bash -c "echo s3cret-word | oci-push --username me --password-stdin $reg/a:v1 demo"
	assert_ok
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$reg" "$(printf 'me:s3cret-word' | base64)" >auth.json
	run --separate-stderr bash -c "oci-fetch oci:demo | oci-push --authfile auth.json $reg/b:v1 --mount-from $reg/a"
	assert_ok
	[ "$(oci-fetch --authfile auth.json "$reg/b:v1" | contents)" = "$(oci-fetch oci:demo | contents)" ]
}

@test "tokens that expire in mid-push" {
	bad_registry -behave '{"Push": true, "Auth": "bearer", "User": "me", "Password": "s3cret-word", "TokenUses": 3}'
	wanted
	run --separate-stderr bash -c "echo s3cret-word | oci-push --username me --password-stdin -j1 --chunk-size 1M $reg/a:v1 demo"
	assert_ok
	[ "$(served .Expired)" -gt 1 ] || fail "no token has expired"
	behave '{"Push": true}'
	same "$reg/a:v1"
}

@test "TLS" {
	mkdir tls
	bad_registry -tls -certs tls -behave '{"Push": true}'
	run --separate-stderr oci-push "$reg/a:v1" demo
	assert_error oci-push 1 'certificate'
	[[ $stderr == *'hint: --ca-cert FILE'* ]] || show "no hint"
	run --separate-stderr oci-push --ca-cert tls/ca.pem "$reg/a:v1" demo
	assert_ok
	run --separate-stderr oci-push --tls-verify=false "$reg/a:v2" demo
	assert_ok
}

@test "registries.conf: the location counts, mirrors do not" {
	docker_registry
	wanted
	printf '[[registry]]\nprefix = "registry.example/team"\nlocation = "%s/moved"\ninsecure = true\n[[registry.mirror]]\nlocation = "127.0.0.1:1/mirror"\n' "$reg" >conf
	run --separate-stderr oci-push --registries-conf conf registry.example/team/app:v1 demo
	assert_ok
	assert_output "registry.example/team/app@$digest"
	same "$reg/moved/app:v1"
	printf '[[registry]]\nprefix = "registry.example"\nblocked = true\n' >conf
	run --separate-stderr oci-push --registries-conf conf registry.example/team/app:v1 demo
	assert_error oci-push 1 blocked
}

@test "failures: one line, an exit code, no tag" {
	bad_registry -behave '{"Push": true}'
	n=0
	while read -r code text rule; do
		n=$((n + 1))
		behave "{\"Push\": true, \"Rules\": [$rule]}"
		run --separate-stderr oci-push --retries 0 --timeout 2s "$reg/a$n:v1" demo
		assert_error oci-push "$code" "${text//_/ }"
		behave '{"Push": true}'
		[ "$(curl -s -o /dev/null -w '%{http_code}' "http://$reg/v2/a$n/manifests/v1")" = 404 ] || fail "a tag after $rule"
	done <<-'END'
		75 HTTP_503 {"Match": "POST registry", "Status": 503}
		75 HTTP_429 {"Match": "PUT registry", "Status": 429, "RetryAfter": "1"}
		75 stalled {"Match": "POST registry", "Wait": "10s"}
		75 reset {"Match": "/manifests/v1", "Break": "drop"}
		1 HTTP_507 {"Match": "PUT registry", "Status": 507}
		1 it_takes_no_uploads {"Match": "POST registry", "Status": 405, "Code": "UNSUPPORTED"}
		1 HTTP_413 {"Match": "/manifests/sha256", "Skip": 1, "Status": 413}
		1 DENIED {"Match": "/manifests/sha256", "Skip": 1, "Status": 403, "Code": "DENIED"}
		1 HTTP_400 {"Match": "/manifests/v1", "Status": 400, "Code": "TAG_INVALID"}
	END
	run --separate-stderr oci-push --retries 0 127.0.0.1:1/a:v1 demo
	assert_error oci-push 75 'refused'
	assert_no_debris demo
}

@test "a tag that may not be changed" {
	bad_registry -behave '{"Push": true}'
	wanted
	oci-push "$reg/a:v1" demo >/dev/null
	behave '{"Push": true, "Rules": [{"Match": "PUT registry /v2/a/manifests/v1", "Status": 409, "Code": "TAG_IMMUTABLE"}]}'
	run --separate-stderr oci-push "$reg/a:v1" demo
	assert_ok
	two_platforms demo
	run --separate-stderr oci-push "$reg/a:v1" demo
	assert_error oci-push 1 "TAG_IMMUTABLE (HTTP 409): it names $digest there"
	[[ $stderr == *'hint: '*'another tag'* ]] || show "no hint"
}

@test "bad input: cut, wrong, missing" {
	docker_registry
	oci-fetch -o image.tar oci:demo
	for cut in 0 100 1000 20000; do
		run --separate-stderr bash -c "head -c $cut image.tar | oci-push $reg/a:v1"
		assert_error oci-push 1 ''
	done
	run --separate-stderr bash -c "head -c -3000 image.tar | oci-push $reg/a:v1"
	assert_error oci-push 1 'archive is cut short'
	run --separate-stderr oci-push "$reg/a:v1" no.tar
	assert_error oci-push 1 'no.tar: open: no such file'
	run --separate-stderr oci-push "$reg/a:v1" tmp-is-no-layout
	assert_error oci-push 1 'no such file'
	mkdir empty
	run --separate-stderr oci-push "$reg/a:v1" empty
	assert_error oci-push 1 'not an OCI image layout'
	chmod -R u+w demo
	layer=$(digests oci:demo | head -n 1)
	printf X | dd of="demo/blobs/${layer/://}" bs=1 seek=50 conv=notrunc status=none
	run --separate-stderr oci-push "$reg/b:v1" demo
	assert_error oci-push 1 "layer 0: corrupt image: expected $layer"
	[ "$(tags a)$(tags b)" = '' ] || fail "a tag"
}

@test "usage errors" {
	run --separate-stderr oci-push
	assert_error oci-push 2 'argument is missing: <ref>'
	for flags in 'A:v1' 'oci:demo' 'a:b:c' 'a --tag x/y' 'a --tag .b' 'a:-b' 'a -j0' 'a --chunk-size 0' 'a --retries -1' 'a --timeout 0s' 'a --username me' \
		'a --client-cert x' 'a --platform x' 'a --mount-from A' 'a --username me --password-stdin' 'a oci-archive:-:v1 --username me --password-stdin'; do
		# shellcheck disable=SC2086 # flags
		run --separate-stderr oci-push $flags </dev/null
		assert_error oci-push 2 ''
	done
}

@test "the image before the name" {
	mkdir oci
	touch oci/index.json image.tar
	for image in - oci image.tar oci:oci; do
		run --separate-stderr oci-push "$image" registry.example:1/a:v1 </dev/null
		[[ $stderr == *"hint: the name comes before the image: oci-push registry.example:1/a:v1 $image" ]] || show "no hint"
	done
	assert_status 2
	run --separate-stderr oci-push image.tar </dev/null
	assert_error oci-push 1 'standard input: the input is empty'
	[[ $stderr == *'hint: the name comes before the image: oci-push NAME image.tar' ]] || show "no hint"
	on_terminal 'oci-push image.tar'
	assert_status 2
	[[ $output == 'oci-push: standard input: is a terminal'*'hint: the name comes before the image: oci-push NAME image.tar'* ]] || show "another message"
	for args in '- -' '- none.tar' 'image none.tar' '127.0.0.1:1/a:v1 none/a.tar' '127.0.0.1:1/a:v1 image.tar'; do
		# shellcheck disable=SC2086 # arguments
		run --separate-stderr oci-push --retries 0 $args
		[[ $status != 0 && $stderr != *'comes before'* ]] || show "a hint after $args"
	done
}

# killed SIGNAL TIME REF: a push of large that ends after TIME.
killed() {
	local pid
	"${unignored[@]}" oci-push -j2 --chunk-size 1M "$3" large >printed 2>said 3>&- &
	pid=$!
	sleep "$2"
	kill -s "$1" "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

@test "a push that is killed sets no tag, and the next one ends right" {
	docker_registry
	"$BATS_RUN_TMPDIR/bad_registry" -image r:v1=5x12000000 layout large
	want=$(jq -r '.manifests[0].digest' large/index.json)
	rounds=5
	[ "${SOAK:-}" != true ] || rounds=50
	early=0
	for round in $(seq $rounds); do
		killed "$([ $((round % 3)) = 0 ] && echo TERM || echo KILL)" "0.$(printf '%03d' $((RANDOM % 350)))" "$reg/k$round:v1"
		if [ "$(tags "k$round")" = v1 ]; then
			oci-fetch --no-cache "$reg/k$round:v1" >/dev/null || fail "a tag to something incomplete"
		else
			early=$((early + 1))
		fi
		run --separate-stderr oci-push "$reg/k$round:v1" large
		assert_ok
		assert_output "$reg/k$round@$want"
		oci-fetch --no-cache "$reg/k$round:v1" | cmp - <(oci-fetch oci:large)
	done
	[ "$early" -gt 0 ] || fail "no push was killed early enough"
	assert_no_debris demo large printed said
}

@test "SIGTERM in mid-push ends it at once" {
	bad_registry -behave '{"Push": true, "Rate": 1000000}'
	"$BATS_RUN_TMPDIR/bad_registry" -image r:v1=2x30000000 layout large
	start=$(date +%s%N)
	killed TERM 0.5 "$reg/a:v1"
	[ $((($(date +%s%N) - start) / 1000000)) -lt 20000 ] || fail "it took long" # a minute without the signal
	assert_empty printed
	[ "$(curl -s -o /dev/null -w '%{http_code}' "http://$reg/v2/a/manifests/v1")" = 404 ]
}

@test "memory does not grow with the layer" {
	docker_registry
	"$BATS_RUN_TMPDIR/bad_registry" -image r:v1=1x300000000 layout large
	oci-push "$reg/a:v1" large >/dev/null &
	pid=$!
	most=0
	while now=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
		most=$now
		sleep 0.02
	done
	wait "$pid"
	[[ $most -gt 1000 && $most -lt 64000 ]] || fail "it took $most KiB"
}

@test "the way back in one pipe, with a stage killed, and a base that is another" {
	docker_registry
	push demo:demo base:v1
	cat >marks.tree <<'TREE'
#mtree ocipipe-tree 1 data=inline
. type=dir mode=0755 uid=0 gid=0 time=5.000000007
./etc type=dir mode=0755 uid=0 gid=0 time=5.000000000
./etc/motd type=char mode=0000 uid=0 gid=0 time=0.000000000 device=native,0,0
./etc/new type=file mode=0640 uid=1 gid=2 time=5.000000000 size=4
new

#end records=4 bytes=4
TREE
	mkext4upper --size 64M --tree marks.tree -o upper
	changes='ext42tree --upper upper' layer='tree2tar --oci -z gzip' commit="oci-commit --quiet --no-cache --base $reg/base:v1 --layer -" push="oci-push --quiet $reg/me/app"
	for bytes in 0 1 100 200; do # what a stage that is killed has written; the status is that of the last
		for line in "$changes | head -c $bytes | $layer | $commit" "$changes | $layer | head -c $bytes | $commit" \
			"$changes | $layer | $commit | head -c $((bytes * 20))"; do
			run --separate-stderr bash -c "$line | $push:killed -"
			[ "$status" = 1 ] || show "$line: not refused"
			[[ -z $output && $stderr == *$'oci-push: '* ]] || show "$line: no word of it"
			[ -z "$(tags me/app)" ] || show "$line: a tag of a part"
		done
	done
	oci-materialize --cache cache oci:demo | jq '.manifest.digest = "sha256:" + "1" * 64' >pin.json
	run --separate-stderr bash -c "$changes | $layer | $commit --pin pin.json | $push:other -"
	assert_status 1
	[[ $stderr == *'oci-commit: '*'the pin says sha256:1111'* && -z $(tags me/app) ]] || show "another base is taken"
	run --separate-stderr bash -c "$changes | $layer | $commit | $push:v2 -"
	assert_status 0
	tree2tar --oci -o layer.tar marks.tree
	oci-fetch --no-cache "$reg/me/app:v2" | contents >have
	oci-fetch oci:demo | tar2tree | tree2tar -o base.tar
	tar2tree --input layer --no-data --digest base.tar layer.tar | grep -v '^#' | cmp - have
	skopeo --insecure-policy copy --quiet --src-tls-verify=false "docker://$reg/me/app:v2" oci:back:x
	oci-fetch oci:back:x | contents | cmp - have
}
