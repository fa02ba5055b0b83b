# oci-fetch and registries that behave: Debian's docker-registry, skopeo as who
# pushes. Those that do not behave are in badregistry.bats.

load helpers
load registries
setup() {
	common_setup
	demo_image demo
	registries_setup
}
teardown() { stop_registries; }

@test "an image that skopeo pushed is the image that it read" {
	docker_registry
	push demo:demo a/b:demo
	oci-fetch oci:demo:demo >want.tar
	for ref in "$reg/a/b:demo" "docker://$reg/a/b:demo"; do
		run --separate-stderr bash -c "oci-fetch $ref >got.tar"
		assert_ok
		cmp want.tar got.tar
	done
	manifest=sha256:$(oci-fetch --manifest oci:demo | sha256sum | cut -d' ' -f1)
	run --separate-stderr oci-fetch --manifest "$reg/a/b@$manifest"
	assert_ok
	assert_output "$(oci-fetch --manifest oci:demo)"
	run --separate-stderr oci-fetch --list --digests "$reg/a/b:demo@$manifest"
	assert_output "$(digests oci:demo)"
	run --separate-stderr bash -c "oci-fetch $reg/a/b:demo | tar2tree | tree2erofs -o root.erofs"
	assert_ok
	tar2tree want.tar | tree2erofs | cmp - root.erofs
}

@test "each part of an image, without and with a cache" {
	docker_registry
	push demo:demo a:v1
	for cache in --no-cache --cache=cache --cache=cache; do
		[ "$(oci-fetch $cache --config "$reg/a:v1")" = "$(oci-fetch --config oci:demo)" ]
		for d in $(digests oci:demo); do
			[ "sha256:$(oci-fetch $cache --layer "$d" "$reg/a:v1" | sha256sum | cut -d' ' -f1)" = "$d" ] || fail "layer $d"
		done
		[ "$(digests $cache "$reg/a:v1")" = "$(digests oci:demo)" ]
	done
}

@test "docker schema 2, and layers in zstd" {
	docker_registry
	oci-fetch oci:demo | contents >want
	convert demo:demo a:docker --format v2s2
	oci-fetch --manifest "$reg/a:docker" | grep -q 'application/vnd.docker.distribution.manifest.v2+json' || fail "skopeo made another format"
	oci-fetch "$reg/a:docker" | contents | cmp want -
	docker_registry # skopeo would use again what is in the other
	convert demo:demo a:zstd --dest-compress-format zstd
	oci-fetch --list "$reg/a:zstd" | grep -q 'tar+zstd' || fail "skopeo made another format"
	oci-fetch "$reg/a:zstd" | contents | cmp want -
}

@test "an index of several platforms" {
	two_platforms demo
	docker_registry
	push demo:v1 a:v1 --all
	arch=$(oci-fetch --config oci:demo:v1 | jq -r .architecture)
	for flags in "" "--platform=linux/$arch" --no-cache; do
		# shellcheck disable=SC2086 # flags
		[ "$(oci-fetch $flags --config "$reg/a:v1" | jq -r .architecture)" = "$arch" ] || fail "another platform with $flags"
	done
	[ "$(oci-fetch --platform linux/s390x --config "$reg/a:v1" | jq -r .architecture)" = s390x ]
	run --separate-stderr oci-fetch --platform linux/riscv64 "$reg/a:v1"
	assert_error oci-fetch 1 "linux/$arch, linux/s390x"
	# What was fetched of either is there for it, and only for it.
	oci-fetch "$reg/a:v1" >/dev/null
	[ "$(oci-fetch --pull never --config "$reg/a:v1" | jq -r .architecture)" = "$arch" ]
	[ "$(oci-fetch --pull never --platform linux/s390x --config "$reg/a:v1" | jq -r .architecture)" = s390x ]
}

@test "a layer that is listed twice is fetched once" {
	rewrite demo <<-'PY'
		m = load(index["manifests"][0]["digest"])
		c = load(m["config"]["digest"])
		m["layers"].append(m["layers"][0])
		c["rootfs"]["diff_ids"].append(c["rootfs"]["diff_ids"][0])
		c.pop("history", None)
		m["config"].update(save(c))
		index["manifests"][0].update(save(m))
	PY
	bad_registry -layout r=demo
	twice=$(digests oci:demo | tail -n 1)
	[ "$(digests oci:demo | grep -c "$twice")" = 2 ]
	for flags in --no-cache "--no-cache -j1" --cache=cache; do
		behave '{}'
		# shellcheck disable=SC2086 # flags
		run --separate-stderr bash -c "oci-fetch $flags $reg/r:demo >got.tar"
		assert_ok
		oci-fetch oci:demo | cmp - got.tar
		[ "$(served_bytes "$twice")" = "$(oci-fetch --layer 0 oci:demo | wc -c)" ] || fail "fetched again: $flags"
	done
}

@test "a password: none, wrong, in files, on standard input" {
	need htpasswd
	htpasswd -Bbn -C 4 me s3cret-word >passwd 2>/dev/null
	docker_registry "auth: {htpasswd: {realm: 'basic, realm', path: $PWD/passwd}}"
	push demo:demo a:v1 --dest-creds me:s3cret-word
	ref=$reg/a:v1
	run --separate-stderr oci-fetch --no-cache "$ref"
	assert_error oci-fetch 1 'UNAUTHORIZED: authentication required'
	[[ $stderr == *"hint: "*"login"* ]] || show "no hint"
	auth=$(printf 'me:s3cret-word' | base64)
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$reg" "$auth" >auth.json
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$reg" "$(printf 'me:wr0ng-word' | base64)" >wrong.json
	want=$(digests oci:demo)
	[ "$(digests --no-cache --authfile auth.json "$ref")" = "$want" ]
	[ "$(REGISTRY_AUTH_FILE=auth.json digests --no-cache "$ref")" = "$want" ]
	mkdir -p "$HOME/.docker" "$HOME/run/containers"
	cp auth.json "$HOME/run/containers/auth.json"
	[ "$(XDG_RUNTIME_DIR=$HOME/run digests --no-cache "$ref")" = "$want" ]
	cp auth.json "$HOME/.docker/config.json"
	[ "$(digests --no-cache "$ref")" = "$want" ]
	mv "$HOME/.docker" docker
	[ "$(DOCKER_CONFIG=docker digests --no-cache "$ref")" = "$want" ]
	[ "$(digests --no-cache --username me --password-stdin "$ref" <<<s3cret-word)" = "$want" ]
	# What is given counts, not what also would work.
	run --separate-stderr oci-fetch --no-cache --authfile wrong.json "$ref"
	assert_error oci-fetch 1 'UNAUTHORIZED: authentication required (HTTP 401): the credentials from wrong.json were refused'
	REGISTRY_AUTH_FILE=wrong.json run --separate-stderr oci-fetch --no-cache "$ref"
	assert_error oci-fetch 1 'the credentials from wrong.json were refused'
	run --separate-stderr oci-fetch --no-cache --username me --password-stdin "$ref" <<<wr0ng-word
	assert_error oci-fetch 1 'UNAUTHORIZED: authentication required (HTTP 401): the credentials of user "me" were refused'
	[[ $stderr != *wr0ng-word* ]] || show "the password is shown"
	run --separate-stderr oci-fetch --no-cache --authfile none.json "$ref"
	assert_error oci-fetch 1 '--authfile: none.json: no such file or directory'
	REGISTRY_AUTH_FILE=none.json run --separate-stderr oci-fetch --no-cache "$ref"
	assert_error oci-fetch 1 'REGISTRY_AUTH_FILE: none.json: no such file or directory'
	echo '{"auths":' >broken.json
	run --separate-stderr oci-fetch --no-cache --authfile broken.json "$ref"
	assert_error oci-fetch 1 broken.json
}

@test "names that are not quite right" {
	docker_registry
	push demo:demo a/b:v1
	run --separate-stderr oci-fetch --no-cache "$reg/a/b"
	assert_error oci-fetch 1 'manifest unknown (HTTP 404)'
	[[ $stderr == *"hint: no tag was given, so \"latest\" was asked for; $reg/a/b:TAG names another" ]] || show "no word of the tag"
	run --separate-stderr oci-fetch --no-cache "$reg/a/b:latest"
	assert_error oci-fetch 1 'manifest unknown (HTTP 404)'
	[[ $stderr != *hint:* ]] || show "a hint at a tag that was given"
	for ref in "$reg/A/b:v1" "http://$reg/a/b:v1" "https://$reg/a/B:v1"; do
		run --separate-stderr oci-fetch --no-cache --list "$ref"
		assert_error oci-fetch 1 "\"$ref\" is not the name of an image"
		[[ $stderr == *"hint: write $reg/a/b:v1" ]] || show "not the name" # and that works
		oci-fetch --no-cache --list "${stderr##*hint: write }"
	done
	run --separate-stderr oci-fetch --no-cache "$reg/a/b:V 1"
	assert_error oci-fetch 1 'is not the name of an image: want [REGISTRY/]NAME[:TAG|@DIGEST]'
}

@test "a cache that cannot be made" {
	docker_registry
	push demo:demo a/b:v1
	run --separate-stderr oci-fetch --cache /proc/cache "$reg/a/b:v1"
	assert_error oci-fetch 1 'oci-fetch: cannot write to the cache: /proc/cache: mkdir: '
	[[ $stderr == *'hint: --cache DIR keeps it elsewhere, --no-cache nowhere' ]] || show "no remedy"
	[ "$(digests --no-cache "$reg/a/b:v1")" = "$(digests oci:demo)" ]
}

@test "credential helpers, and no secret in sight" {
	need htpasswd
	htpasswd -Bbn -C 4 me s3cret-word >passwd 2>/dev/null
	docker_registry "auth: {htpasswd: {realm: basic, path: $PWD/passwd}}"
	push demo:demo a:v1 --dest-creds me:s3cret-word
	mkdir -p bin "$HOME/.docker"
	cat >bin/docker-credential-fake <<-'SH'
		#!/bin/sh
		read -r host
		echo "$1 $host" >>"$HOME/asked"
		[ "$1" = get ] && echo "{\"ServerURL\":\"$host\",\"Username\":\"me\",\"Secret\":\"$FAKE_SECRET\"}"
	SH
	cat >bin/docker-credential-broken <<-'SH'
		#!/bin/sh
		echo "helper is locked s3cret-word"
		exit 1
	SH
	chmod +x bin/*
	PATH=$PWD/bin:$PATH
	export FAKE_SECRET=s3cret-word
	want=$(digests oci:demo)
	for config in "{\"credHelpers\":{\"$reg\":\"fake\"}}" '{"credsStore":"fake"}'; do
		echo "$config" >"$HOME/.docker/config.json"
		[ "$(digests --no-cache "$reg/a:v1")" = "$want" ] || fail "$config"
	done
	[ "$(sort -u "$HOME/asked")" = "get $reg" ] || fail "asked: $(<"$HOME/asked")"
	FAKE_SECRET=wr0ng-word run --separate-stderr oci-fetch --no-cache "$reg/a:v1"
	assert_error oci-fetch 1 "the credentials from docker-credential-fake, which $HOME/.docker/config.json names, were refused"
	[[ $stderr != *wr0ng* ]] || show "the secret is shown"
	echo "{\"credHelpers\":{\"$reg\":\"broken\"}}" >"$HOME/.docker/config.json"
	run --separate-stderr oci-fetch --no-cache "$reg/a:v1"
	assert_error oci-fetch 1 docker-credential-broken
	echo "{\"credHelpers\":{\"$reg\":\"none\"}}" >"$HOME/.docker/config.json"
	run --separate-stderr oci-fetch --no-cache "$reg/a:v1"
	assert_error oci-fetch 1 docker-credential-none
}

@test "the password is on no command line and in no output" {
	bad_registry -image r:v1=2x2000000 -behave '{"Auth":"basic","User":"me","Password":"s3cret-word","Rate":1000000}'
	oci-fetch --no-cache --username me --password-stdin --progress=json "$reg/r:v1" <<<s3cret-word >out 2>err &
	pid=$!
	eventually grep -q '"event":"progress"' err
	! tr '\0' ' ' <"/proc/$pid/cmdline" | grep s3cret || fail "on the command line"
	! tr '\0' '\n' <"/proc/$pid/environ" | grep s3cret || fail "in the environment"
	wait "$pid"
	! grep -e s3cret -e "$(printf 'me:s3cret-word' | base64)" err || fail "in the output"
	behave '{"Auth":"basic","User":"me","Password":"s3cret-word","Rules":[{"Match":"/blobs/","Status":403,"Code":"DENIED","Message":"s3cret-word and bWU6czNjcmV0LXdvcmQ= are wrong"}]}'
	run --separate-stderr oci-fetch --no-cache --username me --password-stdin "$reg/r:v1" <<<s3cret-word
	assert_error oci-fetch 1 'DENIED: '
	[[ $stderr != *s3cret* && $stderr != *bWU6czNjcmV0* ]] || show "what the registry repeats of it is shown"
}

@test "TLS: the right authority, none, a wrong one" {
	certificates certs
	certificates others
	docker_registry '' "  tls: {certificate: $PWD/certs/server.pem, key: $PWD/certs/server.key}"
	push demo:demo a:v1
	want=$(digests oci:demo)
	[ "$(digests --no-cache --ca-cert certs/ca.pem "$reg/a:v1")" = "$want" ]
	[ "$(SSL_CERT_FILE=certs/ca.pem digests --no-cache "$reg/a:v1")" = "$want" ]
	for flags in "" "--ca-cert others/ca.pem" "--insecure --ca-cert others/ca.pem"; do
		# shellcheck disable=SC2086 # flags
		run --separate-stderr oci-fetch --no-cache $flags "$reg/a:v1"
		assert_error oci-fetch 1 'certificate signed by unknown authority'
	done
	run --separate-stderr oci-fetch --no-cache --ca-cert none.pem "$reg/a:v1"
	assert_error oci-fetch 1 'none.pem: open: no such file'
	run --separate-stderr oci-fetch --no-cache --ca-cert certs/ca.key "$reg/a:v1"
	assert_status 1
	run --separate-stderr oci-fetch --no-cache --ca-cert certs/server.key "$reg/a:v1"
	assert_error oci-fetch 1 'certs/server.key: no certificate'
}

@test "TLS: a certificate of the client" {
	mkdir certs
	bad_registry -tls -client-cert -certs certs -layout r=demo
	certificates others
	run --separate-stderr oci-fetch --no-cache --ca-cert certs/ca.pem --client-cert certs/client.pem --client-key certs/client.key "$reg/r:demo"
	assert_status 0
	run --separate-stderr oci-fetch --no-cache --ca-cert certs/ca.pem "$reg/r:demo"
	assert_error oci-fetch 1 'certificate'
	run --separate-stderr oci-fetch --no-cache --ca-cert certs/ca.pem --client-cert others/client.pem --client-key others/client.key "$reg/r:demo"
	assert_error oci-fetch 1 'certificate'
	run --separate-stderr oci-fetch --no-cache --ca-cert certs/ca.pem --client-cert certs/client.pem "$reg/r:demo"
	assert_error oci-fetch 2 '--client-key'
	run --separate-stderr oci-fetch --no-cache --ca-cert certs/ca.pem --client-cert certs/client.pem --client-key others/client.key "$reg/r:demo"
	assert_error oci-fetch 1 'client'
}

@test "TLS: verification turned off, for all hosts" {
	mkdir certs
	bad_registry -tls -certs certs -layout r=demo
	want=$(digests oci:demo)
	behave '{"Redirect":true}'
	[ "$(digests --no-cache --tls-verify=false "$reg/r:demo")" = "$want" ]
	[ "$(digests --no-cache --tls-verify --ca-cert certs/ca.pem "$reg/r:demo")" = "$want" ]
	for flags in "" --tls-verify --tls-verify=true --insecure; do
		# shellcheck disable=SC2086 # flags
		run --separate-stderr oci-fetch --no-cache $flags "$reg/r:demo"
		assert_error oci-fetch 1 'certificate signed by unknown authority'
		[[ $stderr == *"hint: --ca-cert FILE "*"--tls-verify=false"* ]] || show "no hint"
	done
}

@test "certs.d: podman's and docker's, by host" {
	mkdir certs
	bad_registry -tls -client-cert -certs certs -layout r=demo
	want=$(digests oci:demo)
	for dir in "$HOME/.config/containers/certs.d" "$HOME/.config/docker/certs.d" here; do
		mkdir -p "$dir/$reg"
		cp certs/ca.pem "$dir/$reg/ca.crt"
		cp certs/client.pem "$dir/$reg/client.cert"
		flags=()
		[ "$dir" != here ] || flags=(--certs-dir here)
		run --separate-stderr oci-fetch --no-cache "${flags[@]}" --list --digests "$reg/r:demo"
		assert_error oci-fetch 1 "$dir/$reg/client.cert: the key of this certificate"
		cp certs/client.key "$dir/$reg/client.key"
		[ "$(digests --no-cache "${flags[@]}" "$reg/r:demo")" = "$want" ] || fail "$dir"
		run --separate-stderr oci-fetch --no-cache "${flags[@]}" --list --digests "localhost:${reg#*:}/r:demo"
		assert_error oci-fetch 1 'certificate signed by unknown authority'
		[ "$dir" = here ] || rm -r "$dir"
	done
	run --separate-stderr oci-fetch --no-cache --certs-dir none "$reg/r:demo"
	assert_error oci-fetch 1 'none: '
	rm here/"$reg"/*.key
	ln -s none here/"$reg"/client.key
	run --separate-stderr oci-fetch --no-cache --certs-dir here "$reg/r:demo"
	assert_error oci-fetch 1 "here/$reg/client.key"
}

@test "registries.conf: location, mirrors, insecure, blocked" {
	certificates certs
	docker_registry '' "  tls: {certificate: $PWD/certs/server.pem, key: $PWD/certs/server.key}"
	push demo:demo deep/a:v1
	want=$(digests oci:demo)
	secure=$reg
	bad_registry -layout deep/a=demo
	conf=$HOME/.config/containers/registries.conf
	mkdir -p "$conf.d"
	unset CONTAINERS_REGISTRIES_CONF
	printf '[[registry]]\nprefix="named.example"\nlocation="%s/deep"\ninsecure=true\n' "$secure" >"$conf"
	[ "$(digests --no-cache named.example/a:v1)" = "$want" ]
	run --separate-stderr oci-fetch --no-cache "$secure/deep/a:v1"
	assert_error oci-fetch 1 'certificate signed by unknown authority'
	run --separate-stderr oci-fetch --no-cache --tls-verify named.example/a:v1
	assert_error oci-fetch 1 'certificate signed by unknown authority'

	# A drop-in, with a mirror that has the image, and one that flags name before it.
	printf '[[registry]]\nprefix="named.example"\nlocation="%s/deep"\n[[registry.mirror]]\nlocation="%s/deep"\n' "$secure" "$reg" >"$conf.d/50.conf"
	run --separate-stderr oci-fetch --no-cache --mirror 127.0.0.1:1 --list --digests named.example/a:demo
	assert_status 0
	assert_output "$want"
	[[ $stderr == *'mirror 127.0.0.1:1: '* ]] || show "the flag's mirror was not asked first"
	printf 'mirror-by-digest-only=true\n' | cat - "$conf.d/50.conf" >"$conf.d/60.conf"
	sed -i '1{h;d};/^prefix/{G}' "$conf.d/60.conf"
	run --separate-stderr oci-fetch --no-cache named.example/a:demo
	assert_error oci-fetch 1 'certificate signed by unknown authority'

	# The file that is named is all that is read.
	printf '[[registry]]\nlocation="%s"\nblocked=true\n' "$reg" >blocked.conf
	run --separate-stderr oci-fetch --no-cache --registries-conf blocked.conf "$reg/deep/a:demo"
	assert_error oci-fetch 1 "blocked.conf: registry \"$reg\": blocked"
	CONTAINERS_REGISTRIES_CONF=blocked.conf run --separate-stderr oci-fetch --no-cache "$reg/deep/a:demo"
	assert_error oci-fetch 1 'blocked.conf: '
	CONTAINERS_REGISTRIES_CONF=blocked.conf run --separate-stderr oci-fetch --no-cache --registries-conf /dev/null --list --digests "$reg/deep/a:demo"
	assert_ok
	assert_output "$want"
	CONTAINERS_REGISTRIES_CONF=none.conf run --separate-stderr oci-fetch --no-cache "$reg/deep/a:demo"
	assert_error oci-fetch 1 'none.conf: '
	printf '\n[[registry]\n' >bad.conf
	run --separate-stderr oci-fetch --no-cache --registries-conf bad.conf "$reg/deep/a:demo"
	assert_error oci-fetch 1 'bad.conf: line 2: '
}

@test "not found and denied are final, and said in the registry's words" {
	docker_registry
	push demo:demo a:v1
	run --separate-stderr oci-fetch --no-cache "$reg/a:v2"
	assert_error oci-fetch 1 'MANIFEST_UNKNOWN: manifest unknown (HTTP 404)'
	run --separate-stderr oci-fetch --no-cache "$reg/b:v1"
	assert_error oci-fetch 1 'HTTP 404'
	run --separate-stderr oci-fetch --no-cache --layer 9 "$reg/a:v1"
	assert_error oci-fetch 1 'layer 9: not found'
	run --separate-stderr oci-fetch --retries 0 --no-cache 127.0.0.1:1/a
	assert_error oci-fetch 75 'refused'
	run --separate-stderr oci-fetch --retries 0 --no-cache name.invalid/a
	assert_error oci-fetch 1 'name.invalid'
}

@test "wrong flags" {
	for flags in "-j 0" "--connections 0" "--retries=-1" "--timeout 0s" "--pull never --no-cache" "--pull never --force" "--pull maybe" \
		"--username me" --password-stdin "--client-key x" "--tls-verify=maybe" "--mirror ftp://x" "--progress maybe" "--progress-fd 77"; do
		# shellcheck disable=SC2086 # flags
		run --separate-stderr oci-fetch $flags 127.0.0.1:1/a </dev/null
		assert_error oci-fetch 2 ''
	done
	assert_no_debris demo
}

@test "mirrors: asked first, and passed over" {
	bad_registry -layout r=demo
	origin=$reg origin_control=$control
	bad_registry -layout r=demo
	run --separate-stderr oci-fetch --no-cache --mirror "$reg" -o got.tar "$origin/r:demo"
	assert_ok
	oci-fetch oci:demo | cmp - got.tar
	# Bytes that only a digest tells from the right ones.
	behave '{"Rules":[{"Match":"/blobs/'"$(digests oci:demo | head -n 1)"'","Flip":5}]}'
	for flags in -j1 -j4; do
		run --separate-stderr oci-fetch --no-cache "$flags" --mirror "$reg" -o bad.tar "$origin/r:demo"
		assert_error oci-fetch 1 'corrupt image'
		[[ $stderr == *"hint: it came through the mirror $reg"* ]] || show "who sent it?"
	done
	control=$origin_control
	[ "$(served '.Requests | length')" = 0 ] || fail "the registry was asked"
	run --separate-stderr oci-fetch --no-cache --mirror 127.0.0.1:1 --mirror "$reg/none" -o got.tar "$origin/r:demo"
	assert_status 0
	oci-fetch oci:demo | cmp - got.tar
	[ "$(served '.Requests | length')" -gt 3 ] || fail "the registry was not asked"
}

@test "an artifact is no image" {
	mkdir -p art/blobs/sha256
	printf '{}' >art/blobs/sha256/44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/vnd.example","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}]}' >manifest
	sum=$(sha256sum <manifest | cut -d' ' -f1)
	cp manifest "art/blobs/sha256/$sum"
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}' "$sum" "$(stat -c %s manifest)" >art/index.json
	bad_registry -layout r=art
	run --separate-stderr oci-fetch --no-cache "$reg/r:v1"
	assert_error oci-fetch 1 'artifact'
}
