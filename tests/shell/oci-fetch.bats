# oci-fetch: sources, parts, failures.

load helpers
setup() {
	common_setup
	demo_image demo
}

# archive FILE: the demo image as oci-fetch writes it.
archive() { oci-fetch -o "$1" oci:demo:demo; }

@test "an archive on standard output, which reads as the same archive" {
	run --separate-stderr bash -c 'oci-fetch oci:demo:demo > a.tar'
	assert_ok
	[ "$(tar -tf a.tar | head -n 2)" = $'oci-layout\nindex.json' ] || fail "the manifest does not come first"
	run --separate-stderr bash -c 'oci-fetch oci-archive:- < a.tar | cmp - a.tar && cat a.tar | oci-fetch docker-archive:-:demo | cmp - a.tar'
	assert_ok
	assert_output ''
	assert_no_debris a.tar demo
}

@test "-o FILE gives what standard output gives" {
	run --separate-stderr oci-fetch oci:demo -o a.tar
	assert_ok
	assert_output ''
	oci-fetch oci:demo | cmp - a.tar
}

@test "the same bytes under other circumstances" {
	oci-fetch oci:demo >a.tar
	mkdir elsewhere other
	(cd elsewhere && umask 077 && TZ=Asia/Tokyo TMPDIR=../other GOMAXPROCS=1 oci-fetch oci:../demo | cmp - ../a.tar)
}

@test "each layer by its digest, its diff-id and its number" {
	n=0
	for d in $(oci-fetch --list --digests oci:demo); do
		oci-fetch --layer "$d" oci:demo >layer
		[ "sha256:$(sha256sum <layer | cut -d' ' -f1)" = "$d" ] || fail "layer $d differs"
		oci-fetch --layer "$n" oci:demo | cmp - layer
		n=$((n + 1))
	done
	[ "$n" -eq 3 ] || fail "$n layers"
	run --separate-stderr oci-fetch --layer 3 oci:demo
	assert_error oci-fetch 1 'layer 3: not found: the image has 3, from layer 0 to layer 2'
	run --separate-stderr oci-fetch --layer "${d:0:19}" oci:demo # as tar2tree --sizes shows it
	assert_error oci-fetch 1 ": not found: neither a number nor a whole digest: the image has 3, from layer 0 to layer 2"
}

@test "a tar that is whole, but another one, comes out cut short" {
	small_layer layer.tar
	head -c 1000000 /dev/urandom >big
	tar -rf layer.tar big
	oci-commit --base oci:demo --layer layer.tar --layout demo:new
	sed -i s/xxx/xyx/ "demo/blobs/sha256/$(sha256sum <layer.tar | cut -d' ' -f1)"
	run --separate-stderr bash -c 'oci-fetch --layer 3 oci:demo:new | tar2tree --input layer | tree2erofs -o out.erofs'
	assert_status 1
	[[ $stderr == *'oci-fetch: demo: layer 3: corrupt image'*'tree2erofs: '* ]] || show "not each of them"
	[ ! -e out.erofs ] || fail "an image is left"
}

@test "--manifest and --config are the bytes of their digests" {
	run --separate-stderr bash -c 'oci-fetch --list oci:demo'
	assert_ok
	[[ $output == *"sha256:$(oci-fetch --manifest oci:demo | sha256sum | cut -d' ' -f1)"* ]] || show "no digest of the manifest"
	[[ $output == *"sha256:$(oci-fetch --config oci:demo | sha256sum | cut -d' ' -f1)"* ]] || show "no digest of the configuration"
}

# postgres writes postgres.tar, an image with the configuration of a database.
postgres() {
	small_layer layer.tar
	jq -n --arg layer "sha256:$(sha256sum <layer.tar | cut -d' ' -f1)" '{architecture: "amd64", os: "linux", rootfs: {type: "layers", diff_ids: [$layer]}, config: {
		Entrypoint: ["docker-entrypoint.sh"], Cmd: ["postgres", "-c", "a b"], User: "postgres:70", WorkingDir: "/var/lib", StopSignal: "SIGINT",
		Env: ["PATH=/usr/bin:/bin", "NOTE=it\u0027s $(touch ran)", "A.B=1", "PATH=/bin"], ExposedPorts: {"5432/tcp": {}}, Volumes: {"/var/lib/postgresql": {}},
		Labels: {maintainer: "x"}}}' >config.json
	echo '[{"Config": "config.json", "RepoTags": ["postgres:1"], "Layers": ["layer.tar"]}]' >manifest.json
	tar -cf postgres.tar manifest.json config.json layer.tar
	rm manifest.json config.json layer.tar
}

@test "--vm-config writes what the image runs, for a program and for a shell" {
	need jq
	postgres
	run --separate-stderr bash -c 'oci-fetch --vm-config vm -o image.tar docker-archive:postgres.tar'
	assert_status 0
	[ "$stderr" = 'oci-fetch: warning: environment: A.B: not a variable of a shell, and only in config.json' ] || show "another warning"
	[ "$(jq -c . vm/config.json)" = '{"argv":["docker-entrypoint.sh","postgres","-c","a b"],"entrypoint":["docker-entrypoint.sh"],"cmd":["postgres","-c","a b"],"user":"postgres:70","working_directory":"/var/lib","stop_signal":"SIGINT","env":["NOTE=it'"'"'s $(touch ran)","A.B=1","PATH=/bin"],"exposed_ports":["5432/tcp"],"volumes":["/var/lib/postgresql"],"labels":{"maintainer":"x"}}' ] || fail "$(<vm/config.json)"
	[ "$(env -i /bin/sh -euc 'set -a; . ./vm/env; /usr/bin/env' | grep -v '^PWD=\|^_=\|^OLDPWD=' | sort)" = $'NOTE=it\'s $(touch ran)\nPATH=/bin' ] || fail "$(<vm/env)"
	[ "$(env -i /bin/sh -euc '. ./vm/process; printf "%s|" "$user" "$working_directory" "$stop_signal" "$@"')" = 'postgres:70|/var/lib|SIGINT|docker-entrypoint.sh|postgres|-c|a b|' ] || fail "$(<vm/process)"
	[ "$(stat -c %a vm/* | sort -u)" = 644 ] || fail "$(ls -l vm)"
	cp -r vm before
	run --separate-stderr bash -c 'cat postgres.tar | oci-fetch --quiet --vm-config vm docker-archive:- | cmp - image.tar && diff -r vm before'
	assert_ok
	run --separate-stderr bash -c 'oci-fetch --quiet --vm-config=vm --config docker-archive:postgres.tar | jq -r .config.StopSignal'
	assert_output SIGINT
	for c in none/vm postgres.tar; do
		run --separate-stderr oci-fetch --quiet --vm-config $c -o out docker-archive:postgres.tar
		assert_error oci-fetch 1 "$c"
	done
	assert_no_debris demo postgres.tar image.tar vm before
}

@test "--list fits a terminal of 80 columns" {
	on_terminal 'stty cols 80; oci-fetch --list oci:demo'
	assert_status 0
	[ "$(tr -d '\r' <<<"$output" | wc -L)" -le 80 ] || show "wider than 80 columns"
	full=$(oci-fetch --list oci:demo)
	[ "$(wc -L <<<"$full")" -gt 80 ] || fail "the full list is not wide"
	short=$(oci-fetch --list --digests oci:demo | tail -n 1)
	[[ $output == *" ${short:0:19} "* ]] || show "no digest of the top layer"
	on_terminal 'stty cols 300; oci-fetch --list oci:demo'
	[ "$(tr -d '\r' <<<"$output")" = "$full" ] || show "cut short although there is room"
}

@test "the archive that is written has a progress of its own, with a total" {
	oci-fetch -o whole.tar oci:demo
	# A reader that waits: the end is not shown where the work took no time.
	oci-fetch --progress=json oci:demo 2>events | { sleep 1 && cat; } >got.tar
	cmp whole.tar got.tar
	grep -q "\"name\":\"written\".*\"total\":$(stat -c %s whole.tar)" events || fail "$(<events)"
}

@test "--list as JSON" {
	run --separate-stderr oci-fetch --list --json oci:demo
	assert_ok
	[ "$(python3 -c 'import json,sys; print(*(l["digest"] for l in json.load(sys.stdin)["layers"]), sep="\n")' <<<"$output")" = \
		"$(oci-fetch --list --digests oci:demo)" ] || show "other layers"
}

@test "usage errors" {
	run --separate-stderr oci-fetch
	assert_error oci-fetch 2 'argument is missing: <ref>'
	run --separate-stderr oci-fetch --manifest --config oci:demo
	assert_error oci-fetch 2 'exclude each other'
	run --separate-stderr oci-fetch --layer 0 --list oci:demo
	assert_error oci-fetch 2 'exclude each other'
	run --separate-stderr oci-fetch --list --json --digests oci:demo
	assert_error oci-fetch 2 'exclude each other'
	run --separate-stderr oci-fetch --digests oci:demo
	assert_error oci-fetch 2 '--json and --digests need --list'
	run --separate-stderr oci-fetch --platform linux oci:demo
	assert_error oci-fetch 2 'platform "linux": want OS/ARCH'
	run --separate-stderr oci-fetch --max-metadata many oci:demo
	assert_error oci-fetch 2 '"many" is not a size'
	assert_no_debris demo
}

@test "a limit is named with the flag that raises it" {
	need skopeo
	skopeo --insecure-policy copy -q oci:demo:demo docker-archive:docker.tar:demo:latest
	gzip -n docker.tar
	for limit in '--max-metadata 10 oci:demo' '--max-metadata 10 docker-archive:docker.tar.gz'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr oci-fetch -o out $limit
		assert_error oci-fetch 1 'unsupported image: longer than 10 bytes'
		[[ $stderr == *$'\noci-fetch: hint: --max-metadata raises the limit' ]] || show "no hint"
	done
	assert_no_debris demo docker.tar.gz
}

@test "an only image for another platform" {
	need skopeo
	archive a.tar
	skopeo --insecure-policy copy -q oci:demo:demo docker-archive:docker.tar:demo:latest
	for line in 'oci-fetch %s oci:demo' 'oci-fetch %s oci-archive:a.tar' 'oci-fetch %s docker-archive:docker.tar' \
		'tar2tree %s demo' 'tar2tree %s a.tar' 'cat a.tar | tar2tree %s' 'tar2tree %s docker.tar'; do
		[[ $line == *tar2tree* ]] && tool=tar2tree || tool=oci-fetch
		# shellcheck disable=SC2059 # that is what the lines are
		at() { printf "$line" "$1"; }
		run --separate-stderr bash -c "$(at '-o out --platform linux/mips')"
		assert_error "$tool" 1 'platform linux/mips: not found: the image is for linux/'
		[[ $stderr == *"$tool: hint: --allow-other-platform "* ]] || show "no hint"
		run --separate-stderr bash -c "$(at '-o out --platform linux/mips --allow-other-platform')"
		assert_status 0
		[[ $stderr == "$tool: warning: the image is for linux/"*", not for linux/mips" ]] || show "no warning"
		run --separate-stderr bash -c "$(at '') | cmp - out"
		assert_ok
		rm out
	done
	run --separate-stderr tar2tree --platform linux demo
	assert_error tar2tree 2 'platform "linux": want OS/ARCH'
	assert_no_debris demo a.tar docker.tar
}

# beside DIR: puts entries before the image into index.json: of unknown type, an
# artifact, an attestation, what is not there, a signature of cosign's, an image that
# needs a feature. The configuration becomes application/octet-stream.
beside() {
	need python3
	python3 - "$1" <<'EOF'
import hashlib, json, os, sys
dir = sys.argv[1]
oci = "application/vnd.oci.image."
def blob(digest):
    return os.path.join(dir, "blobs", *digest.split(":"))
def save(media, data):
    d = "sha256:" + hashlib.sha256(data).hexdigest()
    with open(blob(d), "wb") as f:
        f.write(data)
    return {"mediaType": media, "digest": d, "size": len(data)}
def manifest(doc):
    return save(oci + "manifest.v1+json", json.dumps(doc).encode())
def missing(media, **more):
    return dict(more, mediaType=media, digest="sha256:" + hashlib.sha256(media.encode()).hexdigest(), size=9)
top = os.path.join(dir, "index.json")
index = json.load(open(top))
image = index["manifests"][0]
tag = image.pop("annotations")
doc = json.load(open(blob(image["digest"])))
doc["config"]["mediaType"] = "application/octet-stream"
image = manifest(doc)
config = json.load(open(blob(doc["config"]["digest"])))
platform = {"os": config["os"], "architecture": config["architecture"]}
signature = manifest({"schemaVersion": 2, "config": save(oci + "config.v1+json", b"{}"),
    "layers": [save("application/vnd.dev.cosign.simplesigning.v1+json", b"signed")]})
others = [missing("application/vnd.example.thing"), missing(oci + "manifest.v1+json", artifactType="application/vnd.example.sbom"),
    missing(oci + "manifest.v1+json", platform={"os": "unknown", "architecture": "unknown"}),
    missing(oci + "index.v1+json"), signature]
featured = missing(oci + "manifest.v1+json", platform=dict(platform, **{"os.features": ["erofs"]}))
nested = save(oci + "index.v1+json", json.dumps({"schemaVersion": 2, "manifests": others + [featured, dict(image, platform=platform)]}).encode())
named = [dict(o, annotations={"org.opencontainers.image.ref.name": "other%d" % n}) for n, o in enumerate(others)]
index["manifests"] = named + [dict(nested, annotations=tag)]
json.dump(index, open(top, "w"))
EOF
}

@test "what is no image is passed over in an index" {
	oci-fetch --list --digests oci:demo >want
	cp -r demo other
	beside other
	tar -C other -czf other.tar.gz .
	for ref in oci:other oci:other:demo oci-archive:other.tar.gz; do
		run --separate-stderr oci-fetch --list --digests "$ref"
		assert_ok
		assert_output "$(<want)"
	done
	run --separate-stderr bash -c 'oci-fetch oci:other | tar2tree | grep -av "^#" | cmp - <(tar2tree demo | grep -av "^#")'
	assert_ok
	run --separate-stderr oci-fetch oci:other:other0
	assert_error oci-fetch 1 'other: unsupported image: tag "other0" names an artifact of type "application/vnd.example.thing", not a container image'
	run --separate-stderr oci-fetch --platform "linux(+erofs)/$(oci-fetch --list oci:demo | sed -n 's|platform *linux/||p')" oci:other
	assert_error oci-fetch 1 'other: manifest: ' # which is not there
	run --separate-stderr oci-fetch --platform 'linux(erofs/amd64' oci:other
	assert_error oci-fetch 2 'want OS or OS(VERSION+FEATURE...)'
	assert_no_debris demo other other.tar.gz want
}

@test "missing input" {
	echo before >out
	run --separate-stderr oci-fetch -o out oci:none
	assert_error oci-fetch 1 'none: open: no such file or directory'
	run --separate-stderr oci-fetch -o out oci:demo:none
	assert_error oci-fetch 1 'demo: tag "none": not found: available: demo'
	run --separate-stderr oci-fetch ./demo
	assert_error oci-fetch 1 'write oci:DIR'
	[ "$(<out)" = before ] || fail "out was changed"
	assert_no_debris demo out
}

@test "a missing and a corrupt blob" {
	top=demo/blobs/sha256/$(oci-fetch --list --digests oci:demo | tail -n 1 | cut -d: -f2)
	chmod u+w "$top"
	printf X | dd of="$top" bs=1 seek=20 conv=notrunc status=none
	echo before >out
	run --separate-stderr oci-fetch -o out oci:demo
	assert_error oci-fetch 1 "layer 2: corrupt image: expected sha256:${top##*/}: the bytes are those of sha256:"
	rm "$top"
	run --separate-stderr oci-fetch -o out oci:demo
	assert_error oci-fetch 1 'layer 2: '
	[ "$(<out)" = before ] || fail "out was changed"
	run --separate-stderr bash -c 'oci-fetch oci:demo >fresh'
	assert_error oci-fetch 1 'layer 2: '
	assert_empty fresh
	assert_no_debris demo out fresh
}

@test "truncated input" {
	archive a.tar
	size=$(stat -c %s a.tar)
	for n in 0 100 3000 $((size / 2)) $((size - 1)); do
		run --separate-stderr bash -c "head -c $n a.tar | oci-fetch -o out oci-archive:-"
		[ "$n" -lt 3000 ] && where='standard input: ' || where=': ' # known, and then the layer is named
		what="archive is cut short at byte $n"
		[ "$n" -gt 0 ] || what='the input is empty'
		assert_error oci-fetch 1 "$where$what (see the message of the stage that wrote it)"
		head -c "$n" a.tar >cut.tar
		run --separate-stderr oci-fetch -o out oci-archive:cut.tar
		assert_error oci-fetch 1 "cut.tar: ${what%% [0-9]*}"
	done
	assert_no_debris demo a.tar cut.tar
}

@test "not an archive" {
	small_layer layer.tar
	run --separate-stderr oci-fetch oci-archive:layer.tar
	assert_error oci-fetch 1 'layer.tar: not an image archive'
	head -c 5000 /dev/urandom >junk
	run --separate-stderr bash -c 'cat junk | oci-fetch oci-archive:-'
	assert_error oci-fetch 1 'corrupt image: archive: byte 512'
}

@test "bzip2 and xz are refused in words" {
	need bzip2 xz
	archive a.tar
	for tool in bzip2 xz; do
		$tool -c a.tar >packed
		for line in 'oci-fetch oci-archive:packed' 'cat packed | oci-fetch oci-archive:-' 'tar2tree --input=image -o out packed'; do
			run --separate-stderr bash -c "$line"
			assert_error "$(grep -o 'oci-fetch\|tar2tree' <<<"$line")" 1 "unsupported compression: $tool"
		done
	done
	assert_no_debris demo a.tar packed
}

@test "a full disk" {
	run --separate-stderr bash -c 'oci-fetch oci:demo >/dev/full'
	assert_error oci-fetch 1 'standard output: write: no space left on device'
	run --separate-stderr bash -c 'oci-fetch --list oci:demo >/dev/full'
	assert_error oci-fetch 1 'standard output: write: no space left on device'
	assert_no_debris demo
}

@test "a full spool" {
	archive a.tar
	# shellcheck disable=SC2016 # for the inner shell
	run --separate-stderr bash -c 'ulimit -f 100; cat a.tar | oci-fetch --layer 0 oci-archive:- | cat >/dev/null; exit "${PIPESTATUS[1]}"'
	assert_error oci-fetch 1 'write spool file: '
	run --separate-stderr oci-fetch --tmpdir none oci-archive:- <a.tar
	assert_status 0 # a file needs no spool
	run --separate-stderr bash -c 'cat a.tar | oci-fetch --tmpdir none oci-archive:-'
	assert_error oci-fetch 1 'make spool file: '
	assert_no_debris demo a.tar
}

@test "an output that cannot be made" {
	run --separate-stderr oci-fetch -o none/out oci:demo
	assert_error oci-fetch 1 'none'
	archive a.tar
	run --separate-stderr oci-fetch -o a.tar oci-archive:a.tar
	assert_error oci-fetch 2 'a.tar: is input and output at once'
	assert_no_debris demo a.tar
}

@test "a closed pipe is quiet" {
	# shellcheck disable=SC2016 # for the inner shell
	run --separate-stderr bash -c 'oci-fetch oci:demo | true; echo "${PIPESTATUS[0]}"'
	[[ $output == 141 || $output == 0 ]] || show "exit code" # 0: the pipe took all of it first
	[ -z "$stderr" ] || show "not quiet"
	mkfifo pipe
	run --separate-stderr bash -c 'exec 3<>pipe 4>pipe 3<&-; oci-fetch oci:demo >&4; echo $?'
	assert_output 141
	[ -z "$stderr" ] || show "not quiet"
}

@test "an interrupt leaves nothing" {
	echo before >out
	interrupted INT oci-fetch -o out oci-archive:-
	assert_error_free 130
	[ "$(<out)" = before ] || fail "out was changed"
	interrupted TERM oci-fetch oci-archive:-
	assert_error_free 143
	assert_empty out
	assert_no_debris demo out
}

# assert_error_free STATUS: died of a signal without a word.
assert_error_free() {
	assert_status "$1"
	[ -z "$stderr" ] || show "standard error is not empty"
}

@test "binary data does not go to a terminal" {
	on_terminal 'oci-fetch oci:demo'
	assert_status 2
	[[ $output == *'standard output: is a terminal'* ]] || show "another reason"
	on_terminal 'oci-fetch --list --digests oci:demo'
	assert_status 0
	[[ $output == sha256:* ]] || show "no list"
}

@test "a registry that does not answer is worth a retry" {
	run --separate-stderr oci-fetch 127.0.0.1:1/a/b:c
	assert_error oci-fetch 75 'refused'
}
