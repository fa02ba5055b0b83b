# The guide for Bazel does as it stands there: tests/shell/guides/bazel.

load helpers
setup() {
	common_setup
	guide=$REPO/tests/shell/guides/bazel
	demo_image DIR TAG
	# The tools need no HOME, and Bazel gets one of its own, with a server that ends by itself.
	export HOME=$PWD/home
	mkdir "$HOME"
	# Less of a compiler makes so short a run of Java cheaper.
	echo 'startup --max_idle_secs=60 --host_jvm_args=-XX:TieredStopAtLevel=1' >"$HOME/.bazelrc"
}
teardown() {
	[ -e work/WORKSPACE ] || return 0
	cd work || return
	bazel shutdown 3>&-
	bazel --output_base="$BATS_TEST_TMPDIR/other" shutdown 3>&-
}

# workspace is a source tree as the guide says, in the directory work.
workspace() {
	need bazel
	mkdir work
	cp -r "$guide/." work
	cp -r DIR work
	in_work < <(recipe "$guide/README.md" 'IMAGE = ')
	assert_ok
}

# in_work runs the shell lines of its standard input in the workspace.
in_work() {
	local script
	script=$(cat)
	cd work || return
	run --separate-stderr bash -euo pipefail -c "$script" 3>&-
	cd ..
}

# build ARG... is a run of bazel in the workspace. No tool is in the actions' PATH, and nothing of
# the environment reaches them.
build() {
	cd work || return
	LD_LIBRARY_PATH=/elsewhere run --separate-stderr bazel --output_base="$BATS_TEST_TMPDIR/other" build --action_env=PATH=/nowhere "$@" 3>&-
	cd ..
}

# sandboxed N: the last build has run N actions, all of them in linux-sandbox.
sandboxed() {
	local processes
	processes=$(grep '^INFO: .* process' <<<"$stderr")
	# Where a kernel has no namespaces for it, the guide's strategy takes something weaker.
	[[ $processes != *processwrapper-sandbox* ]] || skip_or_fail "linux-sandbox does not work here" || return
	if [ "$1" = 0 ]; then
		[ "$processes" = 'INFO: 1 process: 1 internal.' ] || show "something was made again"
	else
		[ "$processes" = "INFO: $(($1 + 1)) processes: 1 internal, $1 linux-sandbox." ] || show "not $1 actions in a sandbox"
	fi
}

# same_as_in_a_shell IMAGE: the outputs are those of the filters, of an image in a layout.
same_as_in_a_shell() {
	local digest file n=0
	rm -f work/bazel-bin/probe.txt
	rm -rf shell
	mkdir shell
	(
		cd shell || exit
		oci-fetch "oci:../$1" | tar2tree | tree2erofs >rootfs.erofs
		for digest in $(oci-fetch --list --digests "oci:../$1"); do
			oci-fetch --layer "$digest" "oci:../$1" | tar2tree --input layer |
				tree2erofs --quiet --layer -o "disk-$(printf %03d $n).erofs"
			n=$((n + 1))
		done
		tree2erofs --fsmeta -o disk-fsmeta.erofs disk-0*.erofs
		wrap-vmdk -o disk.vmdk disk-fsmeta.erofs disk-0*.erofs
		mkext4upper --size 64M --root-from rootfs.erofs -o upper.ext4
	)
	[ "$(ls work/bazel-bin)" = "$(ls shell)" ] || fail "other files: $(ls work/bazel-bin)" || return
	for file in shell/*; do
		cmp "$file" "work/bazel-bin/${file##*/}" || return
	done
}

@test "every recipe has a test" {
	recipes_are_run "$guide/README.md"
}

@test "disks of an image, the same as in a shell" {
	workspace
	in_work < <(recipe "$guide/README.md" 'bazel build')
	assert_status 0
	same_as_in_a_shell DIR:TAG
	in_work < <(recipe "$guide/README.md" 'upper.ext4 upper.ext4')
	assert_ok
	cmp shell/upper.ext4 work/upper.ext4
	[[ $(stat -c %A work/upper.ext4) == -rw* ]] || fail "not writable"
	(($(stat -c '%b * %B' work/upper.ext4) < 1 << 20)) || fail "not sparse"
	in_work < <(recipe "$guide/README.md" '--expunge')
	assert_status 0
	[ -z "$(find home -type f ! -name .bazelrc)" ] || fail "it has left $(find home -type f)"
	kept=$(find work -name 'bazel-*')
	[ -z "$kept" ] || fail "it has left $kept"
}

@test "only what has changed is made again, and without anything that is not named" {
	workspace
	cat >>work/BUILD.bazel <<-'END'
		genrule(
		    name = "probe",
		    outs = ["probe.txt"],
		    cmd = "shopt -s globstar; echo HOME=$${HOME-} LIBS=$${LD_LIBRARY_PATH-} PATH=$$PATH: ** : net=$$(/bin/readlink /proc/self/ns/net) >$@",
		)
	END
	build //...
	assert_status 0
	sandboxed 8
	[[ $(<work/bazel-bin/probe.txt) == 'HOME= LIBS= PATH=/nowhere: '* ]] || fail "an environment: $(<work/bazel-bin/probe.txt)"
	! grep -qE 'image|ocipipe|BUILD' work/bazel-bin/probe.txt || fail "inputs that it has not named: $(<work/bazel-bin/probe.txt)"
	net=$(grep -o 'net=net:.*' work/bazel-bin/probe.txt) || fail "nothing of the network: $(<work/bazel-bin/probe.txt)"
	[ "$net" != "net=$(readlink /proc/self/ns/net)" ] || fail "the network of this machine: $net"

	touch work/image/blobs/sha256/*
	build //...
	assert_status 0
	sandboxed 0

	# Another image over the same layers, and a list that is out of date.
	small_layer init.tar
	mkdir implied
	touch implied/file
	tar -rf init.tar implied/file # a warning of tree2erofs --layer, for overlayfs without metadata
	oci-commit --quiet --base oci:DIR:TAG --layer init.tar | tar -xC work/image
	build //:disk
	assert_status 1
	[[ $stderr == *'the image has other layers than are listed'* ]] || show "not what is wrong"
	! grep '^INFO: .* process.*sandbox' <<<"$stderr" || show "a layer was made again"
	in_work < <(recipe "$guide/README.md" 'IMAGE = ' | grep IMAGE)
	assert_ok
	oci-fetch oci:work/image >changed.tar
	build //...
	assert_status 0
	sandboxed 5
	[[ $stderr != *warning* ]] || show "a warning"
	rm -r DIR
	mkdir DIR
	tar -xC DIR -f changed.tar
	same_as_in_a_shell DIR

	# A blob that is a layer, and not the one that its name says.
	layer=$(oci-fetch --list --digests oci:DIR | sed -n 2p)
	cp init.tar "work/image/blobs/${layer/:/\/}"
	build //:disk_1
	assert_status 1
	[[ $stderr == *"tar2tree: image/blobs/${layer/:/\/}: corrupt layer: "*"expected $layer"* ]] || show "no message of the tool"
	[ ! -e work/bazel-bin/disk-001.erofs ] || fail "an output of an action that failed"
}
