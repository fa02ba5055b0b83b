# Other machines and systems, and a container that allows next to nothing.

load helpers
setup() { common_setup; }
teardown() { unmount_all; }

# compared are the tools of pipelines.
compared=(tar2tree tree2erofs erofs2tree tree2ext4 ext42tree tree2tar wrap-vmdk)

# other_tools DIR TAGS TOOL... builds the tools for another machine, which the environment names.
other_tools() {
	local dir=$1 tags=$2
	shift 2
	(cd "$REPO" && CGO_ENABLED=0 "${GO:-go}" build -trimpath "-ldflags=${ENTRY:-}" -tags "$tags" -o "$dir/" "${@/#/./cmd/}")
}

# arm64_tools builds those of the tests here, once.
arm64_tools() { GOARCH=arm64 ENTRY=-E=ocipipe_start other_tools "$BATS_RUN_TMPDIR/arm64" "" "${compared[@]}"; }

# same LINE...: each line of shell gives the same bytes with the tools of $other as with ours.
# Before it come the commands that $through starts programs with.
same() {
	local line tool
	for line; do
		bash -c "$line" >ours || fail "ours: $line" || return
		(
			for tool in "${compared[@]}"; do
				eval "$tool() { $through $other/$tool \"\$@\"; }; export -f $tool"
			done
			bash -c "$line"
		) >theirs || fail "theirs: $line" || return
		[ -s ours ] || fail "nothing: $line" || return
		cmp ours theirs || fail "differs: $line" || return
	done
}

# pipelines are what same compares. Each reads what was the same before.
pipelines=(
	'tar2tree <image.tar | tee image.tree'
	'cat image.tree | tree2erofs | tee image.erofs'
	'tree2erofs --quiet -z zstd <image.tree'
	'cat image.erofs | erofs2tree -'
	'cat image.tree | tree2ext4 --size 64M -o root.ext4; cat root.ext4; ext42tree root.ext4'
	'cat image.tree | tree2tar -z gzip'
	'cat image.erofs | wrap-vmdk --format stream -'
)

image_tar() {
	demo_image image
	oci-fetch oci:image:demo >image.tar
}

@test "linux on other machines gives the same bytes" {
	# SOAK adds one of the other byte order, and one of 32 bits.
	local arch through=qemu-aarch64 other=$BATS_RUN_TMPDIR/arm64
	need "$through"
	image_tar
	once arm64 arm64_tools
	same "${pipelines[@]}"
	[ "${SOAK:-}" = true ] || return 0
	for arch in s390x arm; do
		through=qemu-$arch other=$BATS_TEST_TMPDIR/$arch
		need "$through"
		GOARCH=$arch other_tools "$other" "" "${compared[@]}"
		same "${pipelines[@]}"
	done
}

@test "the entry point on arm64 sees which streams are closed" {
	need qemu-aarch64
	other=$BATS_RUN_TMPDIR/arm64
	once arm64 arm64_tools
	run --separate-stderr bash -c 'qemu-aarch64 "$0" <&-' "$other/tree2erofs"
	assert_error tree2erofs 1 'standard input: is closed'
	run --separate-stderr bash -c 'qemu-aarch64 "$0" </dev/null >&-' "$other/tree2erofs"
	assert_error tree2erofs 1 'standard output: is closed'
}

@test "unit tests on arm64" {
	need qemu-aarch64
	cd "$REPO" || return
	local packages=(./lib/lz4 ./lib/erofs/disk ./lib/compression ./lib/posixacl)
	if [ "${SOAK:-}" = true ]; then
		# All but those that start themselves, which takes binfmt_misc, or that QEMU has no call for.
		mapfile -t packages < <("${GO:-go}" list ./lib/... | grep -vE '/lib$|/reftest|/lib/(cas|cli|materialize)$')
	fi
	# Each as in "make unit": what takes longer here would take hours there.
	SOAK='' GOARCH=arm64 CGO_ENABLED=0 "${GO:-go}" test -short -timeout 1h -skip '^(Test.*Killed|TestInterop.*|FuzzReader)$' -exec qemu-aarch64 "${packages[@]}"
}

@test "make builds for other systems without the entry point of Linux" {
	local system entry
	while read -r system entry; do
		run env GOOS="${system%/*}" GOARCH="${system#*/}" make -sn -C "$REPO" build
		assert_output "CGO_ENABLED=0 ${GO:-go} build -trimpath $entry -o bin/ ./cmd/..."
	done <<-'END'
		linux/amd64 -ldflags=-E=ocipipe_start
		linux/arm64 -ldflags=-E=ocipipe_start
		linux/riscv64
		darwin/arm64
		windows/amd64
	END
}

@test "what other systems do instead gives the same bytes" {
	image_tar
	other=$BATS_TEST_TMPDIR/portable through=
	other_tools "$other" portable "${compared[@]}"
	same "${pipelines[@]}"
	if [ "${SOAK:-}" = true ]; then # otherwise the unit tests check the types
		local os arch
		for os in darwin windows; do
			for arch in amd64 arm64; do
				GOOS=$os GOARCH=$arch other_tools "$BATS_TEST_TMPDIR/$os-$arch" '' ...
			done
		done
	fi
	# A target is new, replaced, or as it was; no temporary file stays.
	mkdir out
	cd out || return
	for _ in new replaced; do
		"$other/tree2erofs" -o out.erofs <../image.tree
		cmp out.erofs ../image.erofs
		assert_no_debris out.erofs
		echo old >out.erofs
	done
	run --separate-stderr "$other/tree2erofs" -o out.erofs < <(head -c 5000 ../image.tree)
	assert_error tree2erofs 1 'cut short'
	[ "$(<out.erofs)" = old ]
	assert_no_debris out.erofs
	interrupted TERM "$other/tree2erofs" -o out.erofs
	assert_status 143
	assert_no_debris out.erofs
	# There are no block devices.
	if mknod disk b 7 0; then
		run --separate-stderr "$other/wrap-vmdk" -o x.vmdk disk
		assert_error wrap-vmdk 1 'disk: open: is a device, which is supported on Linux only'
		rm disk
	fi
	# A reader that leaves ends it quietly.
	run --separate-stderr bash -c '"$0" ../image.erofs | head -c 10 >/dev/null; exit "${PIPESTATUS[0]}"' "$other/erofs2tree"
	assert_status 141
	[ -z "$stderr" ] || show "a word on standard error"
}

@test "unit tests of what other systems do instead" {
	cd "$REPO" || return
	local test=("${GO:-go}" test -tags portable -timeout 5m)
	"${test[@]}" ./lib/osfile
	"${test[@]}" -run 'TestSilentInput/^(pipe|socket)$' ./lib/cli # opening a named pipe waits
	if [ "${SOAK:-}" = true ]; then
		# Left out is what says that Linux does more.
		"${test[@]}" -skip '^(TestMakeWritesBack|TestLockRefusesBytes|TestInterop.*|TestPreserve|TestFollowPreserve)$' \
			./lib/blockio ./lib/cas ./lib/exclusive ./lib/vmdk ./lib/patch ./lib/snapshot
	fi
}

# poor COMMAND... runs COMMAND as nobody, in a container: the root is read-only but for a
# /tmp of 4 MiB, there is no home directory, and no /dev/kvm. The directory here is /mnt, with
# the tools in its bin.
poor() {
	unshare -m bash -euc '
		mount --bind "$PWD" /mnt
		mkdir -p /mnt/bin
		mount -o bind,ro "$0" /mnt/bin
		[ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm
		mount -t tmpfs -o size=4m,mode=1777 tmpfs /tmp
		mount -o remount,bind,ro /mnt
		mount -o remount,bind,ro /
		cd /mnt
		exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
			env -i PATH=/usr/bin:/bin:/mnt/bin HOME=/nonexistent "$@"' "$BIN" "$@"
}

# poor_or_skip skips the test where the container cannot be made.
poor_or_skip() {
	need_root
	need unshare setpriv
	poor true || skip_or_fail "mounting is not allowed here"
	# It is what poor says.
	run poor touch /mnt/x /usr/x /root/x /nonexistent/x
	assert_status 1
	[ "${#lines[@]}" = 4 ] || show "it can be written to"
	run poor sh -c 'id -u; head -c 5000000 /dev/zero >/tmp/x'
	[[ $output == 65534*'No space'* ]] || show "not a small /tmp of nobody"
}

@test "the demonstration in a container without root, without room, read-only" {
	demo_image image
	mkdir -p tests/shell demo
	cp "$REPO/tests/shell/demo.sh" tests/shell
	poor_or_skip
	run --separate-stderr poor tests/shell/demo.sh
	assert_error demo 1 'has no demo/image'
	mv image demo
	run --separate-stderr poor sh -c 'mkdir "/tmp/a b" && TMPDIR="/tmp/a b" exec tests/shell/demo.sh'
	assert_ok
	[[ $output == *$'\nchecked\n'* ]] || show "not checked"
	[[ $output == *'not root, so it is not mounted'* ]] || show "no word on the mount"
	cmp <(poor sh -c 'oci-fetch oci:demo/image:demo | tar2tree | tree2erofs') <(oci-fetch oci:demo/image:demo | tar2tree | tree2erofs)
}

@test "no room for a spool file in a small /tmp is said, and what helps" {
	head -c 8000000 /dev/urandom >random
	tar -cf layer.tar random
	tar2tree <layer.tar >layer.tree
	poor_or_skip
	run --separate-stderr poor sh -c 'tree2erofs <layer.tree | cat'
	[ -z "$output" ] || show "output"
	assert_stderr_line tree2erofs 'no space left on device'
	[[ $stderr == *'hint: --tmpdir DIR, or TMPDIR=DIR, '* ]] || show "no hint"
	run --separate-stderr poor sh -c 'TMPDIR=/mnt tree2erofs <layer.tree | cat'
	assert_stderr_line tree2erofs 'make spool file: /mnt: '
	[[ $stderr == *'read-only file system'* ]] || show "another cause"
}
