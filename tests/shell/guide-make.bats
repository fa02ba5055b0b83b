# The guide for make: its commands as they stand there, and what its Makefile promises.

load helpers
load registries
setup() {
	common_setup
	pids=()
	need make
	unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES
	guide=$REPO/tests/shell/guides/make
	cp "$guide/Makefile" "$guide/patches.yaml" .
	demo_image image
	mkdir site
	echo welcome >motd
	echo hello >site/index.html
}
teardown() { stop_registries; }

# built WORDS...: make does something, and just these targets in out are new.
built() {
	local before after have want
	before=$(times)
	run --separate-stderr make -j4
	assert_ok
	after=$(times)
	have=$(comm -13 <(echo "$before") <(echo "$after") | sed 's/ .*//')
	want=$(printf '%s\n' "$@" | sort)
	[ "$have" = "$want" ] || fail "new are:" "$have" "and not:" "$want" "$output"
	make -q || fail "there is something left to do: $(make -n)"
}

# times: the targets and when they were written, with short names of layers.
times() {
	[ ! -d out ] || find out -type f -printf '%P %T@ %i\n' | sed -E 's/(sha256-...)[0-9a-f]*/\1/' | sort
}

# layer N is the short name of a layer in out.
layer() { oci-fetch --list --digests oci:image | sed -n "$(($1 + 1))s/^sha256:\(...\).*/layers\/sha256-\1.erofs/p"; }

# sums: what is in out.
sums() { (cd out && find . -type f ! -name '*.new' -exec sha256sum {} + | sort -k 2); }

@test "the commands of the guide" {
	rm -r site motd
	recipe "$guide/README.md" >script
	[ "$(wc -l <script)" -ge 10 ] || fail "the guide has other commands"
	run --separate-stderr bash -euo pipefail script
	assert_ok
	clean out/upper.ext4
	[ "$(ext42tree --upper out/upper.ext4 | tree2tar | tar -xO etc/motd)" = changed ] || fail "not the changed file"
	[ "$(erofs2tree flat.erofs | grep -a -v '^#')" = "$(oci-fetch oci:image | tar2tree | grep -a -v '^#')" ] || fail "another tree"
	grep -q '^  image/index.json' flat.erofs.d || fail "the rule does not name the image"
}

@test "what is there is not made again, and a change costs what follows from it" {
	built changes.tree changes.tree.d digests digests.d disk.vmdk fsmeta.erofs \
		"$(layer 2)" "$(layer 0)" "$(layer 1)" list.mk name upper.ext4
	first=$(sums)
	cat out/fsmeta.erofs out/layers/*-{0c0,1d8,077}*.erofs >whole
	[ "$(erofs2tree whole | grep -a -v '^#')" = "$(oci-fetch oci:image | tar2tree | grep -a -v '^#')" ] || fail "another tree"
	wrap-vmdk --check out/disk.vmdk
	run --separate-stderr make
	assert_ok
	assert_output "make: Nothing to be done for 'all'."

	echo other >motd
	built changes.tree changes.tree.d upper.ext4
	echo more >site/more.html # the directory changes
	built changes.tree changes.tree.d upper.ext4
	rm site/more.html site/index.html # no rule makes them
	built changes.tree changes.tree.d upper.ext4
	echo welcome >motd
	echo hello >site/index.html
	touch patches.yaml image/index.json
	built changes.tree changes.tree.d digests digests.d disk.vmdk fsmeta.erofs list.mk upper.ext4
	[ "$(sums)" = "$first" ] || fail "other bytes: $(diff <(echo "$first") <(sums))"
	make -s refresh
	built changes.tree changes.tree.d digests digests.d disk.vmdk fsmeta.erofs list.mk upper.ext4
	rm out/layers/sha256-1d8*
	built changes.tree changes.tree.d disk.vmdk fsmeta.erofs "$(layer 1)" upper.ext4
}

@test "a layer more costs that layer, the metadata and the disks" {
	make -s -j4
	small_layer new.tar
	oci-commit --base oci:image:demo --layer new.tar --layout image:demo
	built changes.tree changes.tree.d digests digests.d disk.vmdk fsmeta.erofs "$(layer 3)" list.mk upper.ext4
	mapfile -t devices < <(sed 's/.* /--device=out\/layers\//; s/$/.erofs/' out/list.mk)
	erofs2tree --no-data out/fsmeta.erofs "${devices[@]}" | grep -q '^./etc/hostname.orig ' || fail "the layer is not in it"
}

@test "an archive gives the same disks" {
	make -s -j4 SIZE=64M
	oci-fetch -o image.tar oci:image
	make -s -j4 SIZE=64M OUT=other IMAGE=oci-archive:image.tar
	for file in disk.vmdk fsmeta.erofs upper.ext4; do
		cmp "out/$file" "other/$file"
	done
	grep -q '^  image.tar' other/digests.d || fail "the list does not depend on the archive"
	# Another image in the same place is noticed.
	mv image elsewhere
	run --separate-stderr make -q SIZE=64M IMAGE=oci:elsewhere
	assert_status 1
}

@test "a tag in a registry is asked for again when it is to be" {
	registries_setup
	docker_registry
	oci-push "$reg/a:v1" image -o pushed --depfile pushed.d
	grep -q '^pushed: ' pushed.d || fail "$(<pushed.d)"
	grep -q '^  image/index.json' pushed.d || fail "$(<pushed.d)"
	make -s -j4 SIZE=64M IMAGE="$reg/a:v1"
	small_layer new.tar
	oci-commit --base oci:image:demo --layer new.tar --layout image:demo
	oci-push "$reg/a:v1" image >/dev/null
	make -q SIZE=64M IMAGE="$reg/a:v1"
	before=$(find out/layers -name '*.erofs' | wc -l)
	make -s refresh
	make -s -j4 SIZE=64M IMAGE="$reg/a:v1"
	[ "$(find out/layers -name '*.erofs' | wc -l)" = $((before + 1)) ] || fail "not one layer more"
}

@test "a broken layer makes no image of it" {
	small_layer new.tar
	oci-commit --base oci:image:demo --layer new.tar --layout image:demo
	# A tar that is whole, but not the one of the digest.
	sed -i s/xxx/xyx/ "image/blobs/sha256/$(oci-fetch --list --digests oci:image | sed -n '4s/.*://p')"
	run --separate-stderr make -j4
	assert_status 2
	[[ $stderr == *'oci-fetch: '*'corrupt'* ]] || show "the cause is lost"
	[ "$(find out/layers -name '*.erofs' | wc -l)" -le 3 ] || fail "an image is left"
	[ ! -e out/fsmeta.erofs ] || fail "the metadata was made"
}

# group_runs PID: processes of the group are left, zombies aside.
group_runs() {
	cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' |
		awk -v group="$1" '$3 == group && $1 != "Z" { runs = 1 } END { exit !runs }'
}

@test "make can be killed at any point" {
	seed=${SEED:-$(date +%s)}
	echo "seed: $seed"
	RANDOM=$seed
	make -s -j4 SIZE=64M
	first=$(sums)
	for round in {1..8}; do
		rm -r out
		setsid make -s -j4 SIZE=64M >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "0.$(printf %03d $((RANDOM % 450)))"
		if ((round % 2)); then signal=KILL; else signal=TERM; fi
		kill -s "$signal" -- "-$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		while group_runs "$pid"; do sleep 0.01; done
		# What is there is what it will be.
		[ ! -d out ] || [ -z "$(comm -23 <(sums | sort) <(echo "$first" | sort))" ] || fail "round $round: half a file: $(comm -23 <(sums | sort) <(echo "$first" | sort))"
		find out -name '.ocipipe*' >debris 2>/dev/null || true
		[ ! -s debris ] || fail "round $round: $(<debris)"
		make -s -j4 SIZE=64M
		[ "$(sums)" = "$first" ] || fail "round $round: other bytes: $(diff <(echo "$first") <(sums))"
		make -q SIZE=64M || fail "round $round: not done"
	done
}
