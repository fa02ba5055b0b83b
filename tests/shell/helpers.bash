# Helpers of the bats files. Each begins with:
#
#     load helpers
#     setup() { common_setup; }
#
# and then every test runs in an empty directory, with our tools in PATH and an
# empty $TMPDIR of its own. Run a tool with
#
#     run --separate-stderr tree2erofs -o out.erofs in.tree
#
# and look at $status, $output and $stderr with the assertions below; check what
# a failure left behind with assert_no_debris.

# shellcheck shell=bash disable=SC2154 # status, output and stderr are bats'
bats_require_minimum_version 1.5.0

REPO=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
BIN=$REPO/bin

# common_setup is the setup of every file.
common_setup() {
	build_once
	PATH=$BIN:$PATH:/usr/local/sbin:/usr/sbin:/sbin
	export PATH LC_ALL=C.UTF-8 TZ=UTC
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	unset SOURCE_DATE_EPOCH
	mkdir "$TMPDIR" "$BATS_TEST_TMPDIR/work"
	cd "$BATS_TEST_TMPDIR/work" || return
	watch_test "$([ "${SOAK:-}" = true ] && echo 4h || echo 10m)"
}

# tools prints the names of all programs, and single_tools those but ocipipe, which is all in one.
tools() { basename -a "$BIN"/*; }
single_tools() { tools | grep -vx ocipipe; }

# watch_test TIME kills what the test has started, where it goes on for longer: no test
# waits for ever. A test that does not end half a minute later waits for something
# else, such as a pipe that nobody opens, and is killed itself.
watch_test() {
	(watch "$1" 3>&- &)
}

watch() {
	timeout "$1" tail -s 0.5 --pid=$$ -f /dev/null && return
	echo "this test took longer than $1: what it has started is killed" >&2
	kill_started
	timeout 30 tail -s 0.5 --pid=$$ -f /dev/null && return
	kill -9 $$
	kill_started
}

# kill_started kills what has the test's $TMPDIR, orphans too.
kill_started() {
	local file
	for file in /proc/[0-9]*/environ; do
		grep -qzxF "TMPDIR=$TMPDIR" "$file" 2>/dev/null && kill -9 "${file//[^0-9]/}"
	done
}

# build_once builds the tools unless make, which has done so, runs the tests.
build_once() {
	[ -n "${MAKELEVEL:-}" ] && return
	once built make -s -C "$REPO" build
}

# once NAME COMMAND... runs COMMAND the first time it is called in this run of
# bats, also where files run in parallel.
once() {
	local mark=$BATS_RUN_TMPDIR/once-$1
	shift
	(
		flock 9
		[ -e "$mark" ] || { "$@" 9>&- && touch "$mark"; }
	) 9>"$mark.lock"
}

# need TOOL... skips the test where one is not installed; fails it under CI=true, and
# where lib/reftest/tools.txt, of which setup.sh installs what is missing, lacks it.
need() {
	local tool
	for tool in "$@"; do
		[[ $(<"$REPO/lib/reftest/tools.txt") == *$'\n'"$tool "* ]] || fail "$tool is not in lib/reftest/tools.txt" || return
		command -v "$tool" >/dev/null || skip_or_fail "$tool is not installed" || return
	done
}

need_root() { [ "$(id -u)" = 0 ] || skip_or_fail "not root"; }

skip_or_fail() {
	if [ "${CI:-}" = true ]; then
		fail "CI=true, and this cannot run: $1"
	else
		skip "$1"
	fi
}

fail() {
	printf '%s\n' "$@" >&2
	return 1
}

# show prints what the last run left, for a failed assertion.
show() {
	fail "$1" "status: $status" "stdout: ${output:0:2000}" "stderr: ${stderr:-}"
}

assert_status() { [ "$status" -eq "$1" ] || show "status is not $1"; }

assert_output() { [ "$output" = "$1" ] || show "standard output is not: $1"; }

# assert_ok: exit code 0 and not a word on standard error.
assert_ok() {
	assert_status 0 || return
	[ -z "$stderr" ] || show "standard error is not empty"
}

# assert_error TOOL STATUS TEXT: the exit code, nothing on standard output, and
# one line "TOOL: ..." with TEXT in it; a hint may follow.
assert_error() {
	assert_status "$2" || return
	[ -z "$output" ] || show "standard output is not empty" || return
	assert_stderr_line "$1" "$3"
}

# assert_stderr_line TOOL TEXT is assert_error where other things went out too.
assert_stderr_line() {
	local lines
	lines=$(grep -vc "^$1: hint: " <<<"$stderr") || true
	[ "$lines" -eq 1 ] || show "standard error is not one line and a hint" || return
	[[ $stderr == "$1: "* ]] || show "standard error does not begin with $1:" || return
	[[ $stderr == *"$2"* ]] || show "standard error does not say: $2"
}

# assert_no_debris NAME...: the directory holds just these names, and $TMPDIR
# nothing.
assert_no_debris() {
	local want have
	want=$(printf '%s\n' "$@" | sort)
	have=$(find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort)
	[ "$have" = "$want" ] || fail "the directory holds:" "$have" "and not:" "$want" || return
	have=$(find "$TMPDIR" -mindepth 1)
	[ -z "$have" ] || fail "TMPDIR holds:" "$have"
}

# assert_empty FILE: it exists and has no bytes.
assert_empty() {
	[[ -f $1 && ! -s $1 ]] || fail "$1 is not an empty file: $(ls -l "$1" 2>&1)"
}

# recipe FILE [TEXT] prints the indented block of FILE, a README.md, in which TEXT stands; without
# TEXT all of its blocks, in their order.
recipe() {
	local block
	block=$(awk -v RS= -v text="${2-}" '/^    / && index($0, text)' "$1" | sed 's/^    //')
	[ -n "$block" ] || fail "$1 has no recipe with: ${2-}" || return
	printf '%s\n' "$block"
}

# recipes_are_run FILE [TEXT...] fails if FILE has a block that no test of this file takes by a
# recipe with a text in quotes, and that has none of the TEXTs.
recipes_are_run() {
	local block text texts
	mapfile -t texts < <(sed -nE "s/.*\<recipe [^ ]+ '([^']*)'.*/\1/p" "$BATS_TEST_FILENAME")
	texts+=("${@:2}")
	while IFS= read -rd '' block; do
		for text in "${texts[@]}"; do
			[[ $block != *"$text"* ]] || continue 2
		done
		fail "no test runs this: $block" || return
	done < <(awk -v RS= -v ORS='\0' '/^    /' "$1")
}

# demo_image DIR [TAG] copies the layout of lib/reftest/demoimage there: image DIR:TAG, or DIR:demo.
demo_image() {
	once demo go_demo_image
	cp -r "$BATS_RUN_TMPDIR/demo" "$1"
	sed -i "s/\"demo\"/\"${2:-demo}\"/" "$1/index.json"
}

go_demo_image() {
	mkdir "$BATS_RUN_TMPDIR/demo"
	(cd "$REPO" && "${GO:-go}" run ./lib/reftest/demoimage "$BATS_RUN_TMPDIR/demo")
}

# small_layer FILE writes a layer tar, not compressed, the same bytes each time.
small_layer() {
	local dir
	dir=$(mktemp -d -p "$BATS_TEST_TMPDIR")
	mkdir -p "$dir/etc" "$dir/bin"
	echo vm1 >"$dir/etc/hostname"
	head -c 100000 /dev/zero | tr '\0' x >"$dir/bin/big"
	ln -s big "$dir/bin/link"
	ln "$dir/etc/hostname" "$dir/etc/hostname.orig"
	tar -C "$dir" --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf "$1" .
	rm -r "$dir"
}

# on_terminal LINE runs the shell line with a terminal as standard output, input
# and error, unless it redirects them. The exit code is in $status.
on_terminal() {
	need script
	run script -qec "$1" /dev/null </dev/null
}

# unignored is before a command that is to get signals: nohup, and the shell for what
# it starts with "&", leave it with some ignored, which a shell cannot undo.
unignored=(env '--default-signal=HUP,INT,TERM')

# settled PID [SECONDS] waits until the program that the shell or env starts as PID sleeps, with
# all its threads, for longer than a moment: it waits for input. A thread that waits for a
# processor does not count as asleep. It fails for a program that does not sleep within a minute,
# or SECONDS.
settled() {
	local moments=0 name states end=$((SECONDS + ${2:-60}))
	while ((moments < 3)); do
		((SECONDS < end)) || fail "process $1 does not wait" || return
		sleep 0.05
		name=$(cat "/proc/$1/comm" 2>/dev/null) || return 0 # it has ended
		states=$(cat "/proc/$1/task/"*/stat 2>/dev/null | sed 's/.*) //; s/ .*//' | sort -u)
		[ "$states" != Z ] || return 0
		if [[ $states = S && $name != bash && $name != env ]]; then
			moments=$((moments + 1))
		else
			moments=0
		fi
	done
}

# interrupted SIGNAL COMMAND...: runs COMMAND with a standard input that never
# ends, sends it SIGNAL once it waits for that, and puts its exit code, 128+n where it
# died of a signal, into $status. Standard output goes to the file called out if
# COMMAND has no -o.
interrupted() {
	local signal=$1 pid
	shift
	[ -p "$BATS_TEST_TMPDIR/never" ] || mkfifo "$BATS_TEST_TMPDIR/never"
	if [[ " $* " == *" -o "* ]]; then
		"${unignored[@]}" "$@" <>"$BATS_TEST_TMPDIR/never" 2>"$BATS_TEST_TMPDIR/stderr" 3>&- &
	else
		"${unignored[@]}" "$@" <>"$BATS_TEST_TMPDIR/never" >out 2>"$BATS_TEST_TMPDIR/stderr" 3>&- &
	fi
	pid=$!
	settled "$pid" || { kill -s KILL "$pid"; return 1; }
	kill -s "$signal" "$pid"
	status=0
	wait "$pid" 2>/dev/null || status=$?
	output=
	stderr=$(<"$BATS_TEST_TMPDIR/stderr")
}

# clean IMAGE: e2fsck has nothing to say about the ext4 file system; its exit code
# alone does not tell.
clean() {
	need e2fsck
	local said status=0
	said=$(e2fsck -fn "$1" 2>/dev/null) || status=$?
	if [ "$status" != 0 ] || grep -qE '\?|IGNORED|differences|WARNING' <<<"$said"; then
		fail "e2fsck: $status:" "$said"
	fi
}

# super IMAGE NAME: what dumpe2fs has on the line NAME.
super() {
	need dumpe2fs
	dumpe2fs -h "$1" 2>/dev/null | sed -n "s/^$2: *//p"
}

# mount_image TYPE IMAGE DIR [OPTION] mounts it, read-only unless OPTION is rw.
mount_image() {
	need_root
	mkdir -p "$3"
	local options=loop,${4:-ro}
	[ "$1" != ext4 ] || [ -n "${4:-}" ] || options+=,noload
	mount -t "$1" -o "$options" "$2" "$3" || skip_or_fail "mounting is not allowed here"
}

# unmount_all is for the end of tests that mount.
unmount_all() {
	local dir
	for dir in $(awk -v below="$BATS_TEST_TMPDIR/" 'index($2, below) == 1 { print $2 }' /proc/mounts | tac); do
		umount "$dir"
	done
}

# full_disk SIZE mounts one of that size as full.
full_disk() {
	need_root
	mkdir full
	mount -t tmpfs -o size="$1" tmpfs full || skip_or_fail "mounting is not allowed here"
}

# need_guest makes the command guest, which lists a directory as tar2tree lists
# streams with --no-data --digest.
need_guest() {
	need_root
	once guest go_guest
	PATH=$BATS_RUN_TMPDIR/guest:$PATH
}

go_guest() {
	(cd "$REPO" && CGO_ENABLED=0 "${GO:-go}" build -o "$BATS_RUN_TMPDIR/guest/guest" ./lib/reftest/guest)
}

# can_boot sets $kernel and $BOOT_ACCEL, or skips the test.
can_boot() {
	kernel=$("$REPO/tests/shell/kernel.sh" default 2>"$BATS_TEST_TMPDIR/why") || skip_or_fail "$(<"$BATS_TEST_TMPDIR/why")" || return
	once accel write_accel || skip_or_fail "$(<"$BATS_TEST_TMPDIR/why")" || return
	export BOOT_ACCEL
	BOOT_ACCEL=$(<"$BATS_RUN_TMPDIR/accel")
}

write_accel() { "$REPO/tests/shell/vm.sh" --accel "$kernel" >"$BATS_RUN_TMPDIR/accel" 2>"$BATS_TEST_TMPDIR/why"; }
