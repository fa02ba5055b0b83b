# Helpers of the tests that fetch from registries: Debian's docker-registry, and
# that of lib/reftest/registry, which misbehaves as it is told. A file that loads
# them has
#
#     teardown() { stop_registries; }

# shellcheck shell=bash disable=SC2154 # status, output and stderr are bats'

# registries_setup is the end of setup: a home of its own, so that no credentials
# and no cache of the user are seen, and no registries.conf of the machine. Go would
# build everything anew there.
registries_setup() {
	need skopeo curl jq
	once bad_registry build_bad_registry
	export HOME=$BATS_TEST_TMPDIR/home
	mkdir "$HOME"
	unset OCIPIPE_CACHE XDG_CACHE_HOME XDG_RUNTIME_DIR XDG_CONFIG_HOME REGISTRY_AUTH_FILE DOCKER_CONFIG
	unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
	export CONTAINERS_REGISTRIES_CONF=/dev/null
	pids=()
}

stop_registries() {
	local pid
	for pid in "${pids[@]}"; do
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}

# eventually COMMAND...: it succeeds within a minute.
eventually() {
	local _
	for _ in {1..1200}; do
		"$@" && return
		sleep 0.05
	done
	fail "still not: $*"
}

# docker_registry [YAML] starts Debian's, on a port that is put into $reg; YAML are
# more lines of its configuration.
docker_registry() {
	need docker-registry
	local dir
	dir=$(mktemp -d -p "$BATS_TEST_TMPDIR")
	{
		printf 'version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: %s}}\n' "$dir/data"
		printf '%s\n' "${1:-}"
		printf 'http:\n  addr: 127.0.0.1:0\n%s\n' "${2:-}"
	} >"$dir/config.yml"
	docker-registry serve "$dir/config.yml" >"$dir/log" 2>&1 3>&- &
	pids+=($!)
	eventually grep -q 'listening on' "$dir/log" || fail "$(<"$dir/log")" || return
	reg=$(grep -o 'listening on [0-9.:]*' "$dir/log" | cut -d' ' -f3)
}

# push LAYOUT:TAG NAME [FLAG...] copies an image into $reg with skopeo, as it is.
push() { convert "$@" --preserve-digests; }

# convert is push where a flag says into what.
convert() {
	local from=$1 to=$2
	shift 2
	skopeo --insecure-policy copy --quiet --dest-tls-verify=false "$@" "oci:$from" "docker://$reg/$to"
}

# bad_registry [FLAG...] starts ours: $reg, $storage and $control are where it
# listens.
bad_registry() {
	local out registry=
	out=$(mktemp -p "$BATS_TEST_TMPDIR")
	"$BATS_RUN_TMPDIR/bad_registry" "$@" serve >"$out" 3>&- &
	pids+=($!)
	eventually test -s "$out" || return
	# shellcheck disable=SC1090 # assigns to registry, storage and control
	. "$out"
	reg=$registry
}

build_bad_registry() {
	(cd "$REPO" && "${GO:-go}" build -o "$BATS_RUN_TMPDIR/bad_registry" ./lib/reftest/registry/cmd)
}

# certificates DIR makes an authority, and what it signs: ca.pem, server.pem ...
certificates() {
	mkdir "$1"
	"$BATS_RUN_TMPDIR/bad_registry" certs "$1"
}

# behave JSON tells ours how to behave, and to count from zero.
behave() {
	curl -sSf -X PUT --data "$1" "http://$control/behave" && curl -sSf -X POST "http://$control/reset"
}

# served JQ is something of what ours counts.
served() { curl -sSf "http://$control/stats" | jq -r "$1"; }

# served_bytes DIGEST is how many bytes of a blob went out.
served_bytes() { served "[.Blobs[\"$1\"].Bytes // 0] | add"; }

# rewrite DIR runs the Python of standard input on the layout DIR. It may change index, which
# is written back; load(DIGEST) is a document, and save(DOCUMENT) stores one and returns what
# a descriptor says of it.
rewrite() {
	chmod -R u+w "$1"
	{
		cat <<-'PY'
			import hashlib, json, sys
			dir = sys.argv[1]
			def load(d): return json.load(open(f"{dir}/blobs/" + d.replace(":", "/")))
			def save(v):
			    b = json.dumps(v).encode()
			    d = hashlib.sha256(b).hexdigest()
			    open(f"{dir}/blobs/sha256/{d}", "wb").write(b)
			    return {"digest": "sha256:" + d, "size": len(b)}
			index = json.load(open(f"{dir}/index.json"))
		PY
		cat
		echo 'json.dump(index, open(f"{dir}/index.json", "w"))'
	} | python3 - "$1"
}

# two_platforms DIR makes an index, tag v1, of the demo image for this and for another
# platform, with an attestation as buildx adds it.
two_platforms() {
	rewrite "$1" <<-'PY'
		one = {k: index["manifests"][0][k] for k in ("mediaType", "digest", "size")}
		manifest = load(one["digest"])
		config = load(manifest["config"]["digest"])
		one["platform"] = {"os": config["os"], "architecture": config["architecture"]}
		config["architecture"] = "s390x"
		manifest["config"].update(save(config))
		two = dict(save(manifest), mediaType=one["mediaType"], platform={"os": "linux", "architecture": "s390x"})
		doc = dict(two, platform={"os": "unknown", "architecture": "unknown"},
		           annotations={"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": one["digest"]})
		kind = "application/vnd.oci.image.index.v1+json"
		inner = dict(save({"schemaVersion": 2, "mediaType": kind, "manifests": [one, two, doc]}), mediaType=kind)
		index["manifests"] = [dict(inner, annotations={"org.opencontainers.image.ref.name": "v1"})]
	PY
}

# contents is the list of an archive on standard input, with digests, without what
# says where it came from.
contents() { tar2tree --input image --no-data --digest | grep -v '^#'; }

# digests REF [FLAG...] are those of its layers.
digests() { oci-fetch --list --digests "$@"; }
