# oci-commit: what it makes of what, in all forms, as other tools read it; failures.

load helpers
setup() {
	common_setup
	demo_image base
	mkdir -p d/etc d/srv
	echo new >d/etc/added
	echo run >d/srv/run
	tar -C d --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner -cf l.tar .
	rm -r d
	gzip -nc l.tar >l.tar.gz
}

sha() { echo "sha256:$(sha256sum <"$1" | cut -d' ' -f1)"; }

# merged IMAGE... is the tree of all of it, without what says where it comes from.
merged() { tar2tree "$@" | grep -av '^#:\|^#end'; }

config() { oci-fetch --config "oci-archive:$1"; }

@test "layers go on top of the base, whose blobs stay" {
	run --separate-stderr oci-commit --base oci:base:demo --layer l.tar.gz --layer l.tar -o a.tar
	assert_ok
	assert_output ''
	oci-fetch --list --digests oci-archive:a.tar >have
	oci-fetch --list --digests oci:base:demo >want
	sha l.tar.gz >>want
	sha l.tar >>want
	diff want have
	oci-fetch oci-archive:a.tar | cmp - a.tar
	[ "$(merged a.tar | sha256sum)" = "$(merged <(oci-fetch oci:base:demo) l.tar | sha256sum)" ] || fail "another tree"
	jq -e --arg d "$(sha l.tar)" '.rootfs.diff_ids[-2:] == [$d, $d] and .created == "1970-01-01T00:00:00Z"' <(config a.tar)
	[ "$(oci-fetch --manifest oci-archive:a.tar | jq -r '.annotations["org.opencontainers.image.base.digest"]')" = "sha256:$(oci-fetch --manifest oci:base:demo | sha256sum | cut -d' ' -f1)" ] || fail "no base.digest"
	assert_no_debris a.tar base have l.tar l.tar.gz want
}

@test "the same bytes by -o, >, a pipe and under other circumstances" {
	oci-commit --base oci:base:demo --layer l.tar --compress gzip --tag x -o a.tar
	oci-commit --base oci:base:demo --layer - --compress gzip --tag x <l.tar >b.tar
	cmp a.tar b.tar
	mkdir other
	# shellcheck disable=SC2002 # a pipe
	(umask 077 && cat l.tar | TZ=Asia/Tokyo TMPDIR=other GOMAXPROCS=1 oci-commit --base oci:base:demo --layer - --compress gzip --tag x | cmp - a.tar)
	oci-fetch oci:base:demo | oci-commit --base oci-archive:- --layer l.tar --compress gzip --tag x | cmp - a.tar
	SOURCE_DATE_EPOCH=86400 oci-commit --base oci:base:demo -o c.tar
	jq -e '.created == "1970-01-02T00:00:00Z" and .history[-1].created == .created and .history[-1].empty_layer' <(config c.tar)
}

@test "--compress: each kind, and what is of the kind already keeps its bytes" {
	need zstd
	zstd -q l.tar
	for kind in gzip zstd none; do
		oci-commit --base scratch --platform linux/arm64/v8 --compress $kind --layer l.tar --layer l.tar.gz --layer l.tar.zst -o a.tar
		case $kind in
		gzip) own=l.tar.gz n=1 unpack='gzip -dc' ;;
		zstd) own=l.tar.zst n=2 unpack='zstd -dcq' ;;
		none) own=l.tar n=0 unpack=cat ;;
		esac
		oci-fetch --layer "$n" oci-archive:a.tar | cmp - "$own"
		for i in 0 1 2; do
			oci-fetch --layer $i oci-archive:a.tar | $unpack | cmp - l.tar
		done
		jq -e --arg d "$(sha l.tar)" '.rootfs.diff_ids == [$d, $d, $d] and .os == "linux" and .architecture == "arm64"' <(config a.tar)
	done
}

@test "skopeo and umoci take each form, and the tree is ours" {
	need skopeo
	need umoci
	need_root
	oci-commit --base oci:base:demo --layer l.tar.gz --tag v2 -o a.tar
	oci-commit --base oci:base:demo --layer l.tar.gz --format docker --tag me/app:v2 -o d.tar
	run --separate-stderr oci-commit --base oci:base:demo --layer l.tar.gz --layout out:v2
	assert_ok
	assert_output ''
	skopeo copy -q oci-archive:a.tar oci:one:v2
	skopeo copy -q docker-archive:d.tar oci:two:v2
	[ "$(skopeo inspect docker-archive:d.tar | jq -c .Layers)" = "$(jq -c .rootfs.diff_ids <(config a.tar))" ] || fail "other layers"
	[ "$(jq -r '.[0].RepoTags[0]' <(tar -xOf d.tar manifest.json))" = me/app:v2 ] || fail "no name"
	[ "$(merged a.tar | sha256sum)" = "$(merged d.tar | sha256sum)" ] || fail "docker: another tree"
	for layout in one two out; do
		umoci unpack --image $layout:v2 bundle-$layout
		tar -C bundle-$layout/rootfs --sort=name --numeric-owner --xattrs --xattrs-include='*' --format=pax -cf umoci.tar .
		[ "$(merged --input layer umoci.tar | sed 's/ time=[^ ]*//' | sort | sha256sum)" = "$(merged a.tar | tar_like | sha256sum)" ] || fail "$layout: another tree"
	done
}

@test "a layer that unpacks to too much for docker" {
	run --separate-stderr oci-commit --base oci:base:demo --layer l.tar.gz --format docker --max-layer 1K -o d.tar
	assert_error oci-commit 1 'unpacks to more than 1024 bytes'
	[[ $stderr == *'hint: --max-layer raises the limit'* ]] || show "no hint"
	assert_no_debris base l.tar l.tar.gz
}

# tar_like: a tree as umoci unpacks it, without times.
tar_like() { sed 's/ time=[^ ]*//' | sort; }

@test "configuration: flags replace what they name and keep the rest" {
	oci-fetch --config oci:base:demo | jq -c '. + {variant: "v3", "os.version": "1", "x.unknown": [{"Z": 1, "A": "<&>"}]} | .config = {Env: ["A=1", "PATH=/bin"], Cmd: ["old"], Healthcheck: {Test: ["NONE"]}, Labels: {keep: "1"}}' | sed 's/"x.unknown":\[/&1.50, /' >conf
	jq --arg d "$(sha conf)" --argjson n "$(stat -c %s conf)" '.config.digest = $d | .config.size = $n' <(oci-fetch --manifest oci:base:demo) >mani
	cp conf "base/blobs/sha256/$(sha conf | cut -d: -f2)"
	cp mani "base/blobs/sha256/$(sha mani | cut -d: -f2)"
	ref=oci:base@$(sha mani)
	run --separate-stderr oci-commit --base "$ref" --env A=2,3 --env 'B=x y' --workdir /srv --user 7:8 --label l=1 --label keep=2 --expose 80 --expose 53/udp \
		--volume /data --stop-signal SIGINT --annotation a=b --author me --message why -o a.tar
	assert_ok
	config a.tar >got
	jq -e '.config == {Env: ["A=2,3", "PATH=/bin", "B=x y"], Cmd: ["old"], Healthcheck: {Test: ["NONE"]}, Labels: {keep: "2", l: "1"}, WorkingDir: "/srv", User: "7:8",
		StopSignal: "SIGINT", ExposedPorts: {"80/tcp": {}, "53/udp": {}}, Volumes: {"/data": {}}}' got
	jq -e '.variant == "v3" and .["os.version"] == "1" and .author == "me" and .history[-1].comment == "why"' got
	grep -qF '"x.unknown":[1.50, {"Z":1,"A":"<&>"}]' got || fail "an unknown member changed: $(<got)"
	[ "$(oci-fetch --manifest oci-archive:a.tar | jq -r .annotations.a)" = b ] || fail "no annotation"
	oci-commit --base "$ref" --entrypoint '["/e", "a b"]' -o a.tar
	jq -e '.config.Entrypoint == ["/e", "a b"] and .config.Cmd == null' <(config a.tar)
	run --separate-stderr oci-commit --base "$ref" --entrypoint /e --cmd "sh -c 'a  b' \$X" --dry-run
	assert_ok
	jq -e '.config.config.Entrypoint == ["/e"] and .config.config.Cmd == ["sh", "-c", "a  b", "$X"]' <<<"$output"
	rm a.tar got mani conf
	assert_no_debris base l.tar l.tar.gz
}

@test "--squash-base: one layer with the tree of all" {
	run --separate-stderr oci-commit --base oci:base:demo --layer l.tar.gz --squash-base -o s.tar
	assert_ok
	[ "$(oci-fetch --list --digests oci-archive:s.tar | wc -l)" = 1 ] || fail "several layers"
	oci-commit --base oci:base:demo --layer l.tar.gz -o a.tar
	merged a.tar >a.tree
	merged s.tar | cmp - a.tree
	jq -e '[.history[] | select(.empty_layer | not)] | length == 1' <(config s.tar)
}

@test "--layout: other images stay, the tag is replaced" {
	oci-commit --base oci:base:demo --layer l.tar --layout base:v2
	first=$(oci-fetch --manifest oci:base:v2)
	oci-commit --base oci:base:demo --layer l.tar.gz --layout base:v2
	[ "$(oci-fetch --manifest oci:base:v2)" != "$first" ] || fail "not replaced"
	oci-fetch -o demo.tar oci:base:demo
	[ "$(jq '.manifests | length' base/index.json)" = 2 ] || fail "$(<base/index.json)"
	oci-commit --base oci:base:v2 --layout new
	oci-fetch -o new.tar oci:new:latest
	# DIR ends where it does for those who read it.
	oci-commit --base oci:base:v2 --layout other:localhost:5000/team/app:1
	oci-fetch --manifest oci:other:localhost:5000/team/app:1
	[ "$(jq -r '.manifests[].annotations["org.opencontainers.image.ref.name"]' other/index.json)" = localhost:5000/team/app:1 ] || fail "$(<other/index.json)"
	mkdir with:colon
	oci-commit --base oci:base:v2 --layout with:colon:v1
	oci-fetch --manifest oci:with:colon:v1
	for layout in :v1 'lay@sha256:'"$(printf %064d 1)"; do
		run --separate-stderr oci-commit --base oci:base:v2 --layout "$layout"
		assert_error oci-commit 2 --layout:
	done
	[ ! -e lay ] || fail "it was made"
}

@test "Docker's manifest stays one, but for zstd" {
	need zstd
	zstd -q l.tar
	jq '.mediaType = "application/vnd.docker.distribution.manifest.v2+json" | .config.mediaType = "application/vnd.docker.container.image.v1+json"
		| .layers[].mediaType = "application/vnd.docker.image.rootfs.diff.tar.gzip"' <(oci-fetch --manifest oci:base:demo) >mani
	cp mani "base/blobs/sha256/$(sha mani | cut -d: -f2)"
	ref=oci:base@$(sha mani)
	run --separate-stderr oci-commit --base "$ref" --layer l.tar.gz -o a.tar
	assert_ok
	jq -e '.mediaType == "application/vnd.docker.distribution.manifest.v2+json" and .config.mediaType == "application/vnd.docker.container.image.v1+json"
		and ([.layers[].mediaType] | unique == ["application/vnd.docker.image.rootfs.diff.tar.gzip"])' <(oci-fetch --manifest oci-archive:a.tar)
	run --separate-stderr oci-commit --base "$ref" --layer l.tar.zst -o a.tar
	assert_status 0
	[[ $stderr == 'oci-commit: warning: '*zstd*OCI* ]] || show "no warning"
	jq -e '.mediaType == "application/vnd.oci.image.manifest.v1+json" and ([.layers[].mediaType] | unique == ["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd"])' <(oci-fetch --manifest oci-archive:a.tar)
	# a layer that its registry does not hand out
	jq '.layers[0] |= {mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", size: 9, digest: ("sha256:" + "1" * 64), urls: ["http://127.0.0.1:1/x"]}' mani >foreign
	cp foreign "base/blobs/sha256/$(sha foreign | cut -d: -f2)"
	run --separate-stderr oci-commit --base "oci:base@$(sha foreign)" --layer l.tar -o f.tar
	assert_error oci-commit 1 'foreign layer'
	[ ! -e f.tar ] || fail "f.tar is there"
}

@test "--pin: only the base that it names" {
	oci-materialize --cache cache oci:base:demo >pin.json
	run --separate-stderr oci-commit --base oci:base:demo --pin pin.json -o a.tar
	assert_ok
	oci-commit --base oci:base:demo --env A=1 -o other.tar
	run --separate-stderr oci-commit --base oci-archive:other.tar --pin pin.json -o b.tar
	assert_error oci-commit 1 'the pin says sha256:'
	jq '.layers[0].diff_id = .layers[1].diff_id' pin.json >wrong.json
	run --separate-stderr oci-commit --base oci:base:demo --pin - -o b.tar <wrong.json
	assert_error oci-commit 1 'diff-ids'
	[ ! -e b.tar ] || fail "b.tar is there"
}

@test "--pin: the base of a snapshot" {
	oci-materialize --cache cache oci:base:demo >pin.json
	jq '.layers[0].diff_id = .layers[1].diff_id' pin.json >wrong.json
	mkext4upper --size 64M -o upper
	for pin in pin wrong; do
		snapshot-pack create --upper upper --pin $pin.json --image "base@$(jq -r .manifest.digest pin.json)" --dir $pin.snapshot
	done
	snapshot-pack create --upper upper --image "base@$(jq -r .manifest.digest pin.json)" --dir less.snapshot
	oci-commit --base oci:base:demo --env A=1 -o other.tar
	for pin in pin less; do
		run --separate-stderr oci-commit --base oci:base:demo --pin $pin.snapshot -o a.tar
		assert_ok
		run --separate-stderr oci-commit --base oci-archive:other.tar --pin $pin.snapshot -o b.tar
		assert_error oci-commit 1 'the pin says sha256:'
	done
	run --separate-stderr oci-commit --base oci:base:demo --pin wrong.snapshot -o b.tar
	assert_error oci-commit 1 'diff-ids'
	mkdir empty
	run --separate-stderr oci-commit --base oci:base:demo --pin empty -o b.tar
	assert_error oci-commit 1 'empty'
	[ ! -e b.tar ] || fail "b.tar is there"
}

@test "the name of a base in a registry is noted, and failures of the network" {
	oci-materialize --quiet --cache cache --as app:v1 oci:base:demo >/dev/null
	run --separate-stderr oci-commit --cache cache --base app:v1 --layer l.tar -o a.tar
	assert_ok
	[ "$(oci-fetch --manifest oci-archive:a.tar | jq -r '.annotations["org.opencontainers.image.base.name"]')" = docker.io/library/app:v1 ] || fail "$(oci-fetch --manifest oci-archive:a.tar)"
	run --separate-stderr oci-commit --no-cache --tls-verify=false --base 127.0.0.1:1/x --layer l.tar -o b.tar
	assert_error oci-commit 75 'connection refused'
	[ ! -e b.tar ] || fail "b.tar is there"
}

@test "bad layers make no image" {
	head -c 3000 l.tar >cut.tar
	head -c 100 l.tar.gz >cut.tar.gz
	gzip -c l.tar.gz >twice
	seq 10000 >garbage
	head -c 4000 l.tar.gz | cat - garbage >tail.gz
	: >empty
	for c in 'cut.tar:cut short' 'cut.tar.gz:cut short' 'twice:compressed twice' 'garbage:is text, not a tar archive' 'tail.gz:corrupt layer' 'empty:the input is empty' 'nofile:no such file' 'base:is a directory'; do
		for form in '-o a.tar' '--format docker -o a.tar' '--layout lay' '--compress zstd -o a.tar' '--dry-run'; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr oci-commit --base oci:base:demo --layer l.tar --layer "${c%%:*}" $form
			assert_error oci-commit 1 "${c#*:}"
			[[ $stderr == "oci-commit: ${c%%:*}: "* ]] || show "does not name the layer"
			[ ! -e a.tar ] && [ ! -e lay ] || fail "there is output"
		done
	done
	assert_no_debris base l.tar l.tar.gz cut.tar cut.tar.gz twice garbage tail.gz empty
}

@test "bad bases and configurations" {
	run --separate-stderr oci-commit --base oci:nowhere --layer l.tar -o a.tar
	assert_error oci-commit 1 'nowhere'
	run --separate-stderr oci-commit --base oci:base:demo --platform linux/s390x -o a.tar
	assert_error oci-commit 1 's390x'
	oci-fetch --config oci:base:demo >conf
	# A name that is there twice means one thing to this program, and another to that one.
	for edit in 's/^{/{"RootFS":{"diff_ids":[]},/' 's/"config":{/&"env":["A=1"],"Env":["A=2"],/' 's/"config":{/&"Env":5,"x":{/; s/$/}/' 's/^{/{"history":[7],/'; do
		sed "$edit" conf >odd
		jq --arg d "$(sha odd)" --argjson n "$(stat -c %s odd)" '.config.digest = $d | .config.size = $n' <(oci-fetch --manifest oci:base:demo) >mani
		cp odd "base/blobs/sha256/$(sha odd | cut -d: -f2)"
		cp mani "base/blobs/sha256/$(sha mani | cut -d: -f2)"
		cmp -s conf odd && fail "$edit changes nothing"
		run --separate-stderr oci-commit --base "oci:base@$(sha mani)" --env A=3 --layer l.tar -o a.tar
		assert_error oci-commit 1 'corrupt image'
	done
	blob=base/blobs/sha256/$(oci-fetch --list --digests oci:base:demo | head -n 1 | cut -d: -f2)
	head -c -1 "$blob" >short && cat short <(printf x) >"$blob"
	for form in '-o a.tar' '--format docker -o a.tar' '--layout lay:v1' '--squash-base -o a.tar'; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr oci-commit --base oci:base:demo --layer l.tar $form
		assert_error oci-commit 1 'layer 0'
		[ ! -e a.tar ] || fail "there is output"
		[ ! -e lay ] || [ "$(jq -c .manifests lay/index.json)" = '[]' ] || fail "the layout has an image"
	done
}

@test "wrong usage" {
	for line in '--layer l.tar' '--base scratch' '--base oci:base --layer - --layer -' '--base oci-archive:- --layer -' '--base oci:base --env A' '--base oci:base --env =1' \
		'--base oci:base --expose x' '--base oci:base --expose 99999' '--base oci:base --volume x' '--base oci:base --workdir x' '--base oci:base --stop-signal x-' '--base oci:base --label x' \
		'--base oci:base --cmd [1]' '--base oci:base --annotation x' '--base oci:base --format docker --tag X' '--base oci:base --layout x -o y' \
		'--base oci:base --layout x --format docker' '--base scratch --platform linux/amd64 --pin x' '--base oci:base --compress xz'; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr oci-commit $line
		assert_error oci-commit 2 ''
	done
	assert_no_debris base l.tar l.tar.gz
}

@test "a name by which nobody could read the image is wrong usage" {
	local name long # which readers take for a digest
	long=a@sha256:$(printf %064d 1)
	for name in 'A B' .a _a a/ a..b 'a,b' "$long"; do
		run --separate-stderr oci-commit --base oci:base:demo -o a.tar --tag "$name"
		assert_error oci-commit 2 "--tag: \"$name\" cannot name an image"
	done
	for name in 'A B' .a _a a..b 'a,b'; do
		run --separate-stderr oci-commit --base oci:base:demo --layout "lay:$name"
		assert_error oci-commit 2 "--layout: \"$name\" cannot name an image"
	done
	for name in me//app me/app: 'A B' ./x "$long"; do
		run --separate-stderr oci-commit --base oci:base:demo --format docker -o a.tar --tag "$name"
		assert_error oci-commit 2 "--tag: \"$name\" is not the name of an image"
	done
	assert_no_debris base l.tar l.tar.gz
	need skopeo umoci
	for name in a:b docker.io/x/y:1 a@b a+b a--b Ab.C-d_e; do
		oci-commit --base oci:base:demo --tag "$name" -o a.tar
		oci-fetch --manifest "oci-archive:a.tar:$name" >mani
		skopeo inspect --raw "oci-archive:a.tar:$name" | cmp - mani
		rm -rf x && mkdir x
		tar -C x -xf a.tar
		umoci tag --image "x:$name" other
	done
}

@test "full disk and signals leave nothing" {
	run --separate-stderr bash -c 'oci-commit --base oci:base:demo --layer l.tar >/dev/full'
	assert_error oci-commit 1 'no space left'
	for form in '-o a.tar' '--format docker -o a.tar'; do
		for signal in TERM INT; do
			# shellcheck disable=SC2086 # words
			interrupted $signal oci-commit --base oci:base:demo --layer - $form
			[ "$status" -gt 128 ] || fail "status $status"
			[ ! -e a.tar ] || fail "a.tar is there"
		done
	done
	[ -z "$(find "$TMPDIR" -mindepth 1)" ] || fail "TMPDIR has files"
}
