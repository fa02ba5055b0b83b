#!/bin/bash
# Runs the bats files and counts: without arguments all of them, one on each processor. Arguments
# go to bats: files to run instead, or options such as -f NAME. It fails if a test does, a file
# ends in another way than its tests, or there is no test.
set -uo pipefail

if ! command -v bats >/dev/null; then
	echo "shell: no bats, so the tools are not tested as a user runs them"
	exit 0
fi
logs=$(mktemp -d) || exit 1
running=() # files by process
trap 'rm -rf "$logs"' EXIT
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 143' TERM

# stop STATUS interrupts what runs, waits until it has tidied up, and exits.
stop() {
	local pid
	for pid in "${!running[@]}"; do
		kill -INT -- "-$pid" 2>/dev/null
	done
	wait
	exit "$1"
}

# begin FILE runs it in the background, in a process group of its own, for stop.
begin() {
	set -m
	(exec bats --formatter tap "$1" </dev/null >"$logs/$BASHPID" 2>&1) &
	set +m
	running[$!]=$1
}

# finish waits for a file and shows what it has said.
finish() {
	local pid status
	wait -n -p pid "${!running[@]}"
	status=$?
	{
		printf '# %s\n' "${running[pid]}"
		awk 1 "$logs/$pid" # ends the last line, too
		ended "$status" "$logs/$pid" "${running[pid]}"
	} | tee -a "$logs/all"
	unset "running[$pid]"
}

# ended STATUS LOG FILE... says what is wrong with how FILEs ended, unless a test that failed has.
ended() {
	if ! grep -qE '^(not )?ok ' "$2"; then
		echo "not ok - no test has run, exit status $1: ${*:3}"
	elif [ "$1" != 0 ] && ! grep -q '^not ok ' "$2"; then
		echo "not ok - exit status $1: ${*:3}"
	fi
}

# all runs every file, those that are long first, and shows each when it is done.
all() {
	local files file most
	most=$(nproc || echo 1)
	mapfile -d '' -t files < <(stat --printf '%s %n\0' tests/shell/*.bats | sort -zrn | cut -z -d ' ' -f 2-)
	for file in "${files[@]}"; do
		((${#running[@]} < most)) || finish
		begin "$file"
	done
	while ((${#running[@]})); do
		finish
	done
}

if [ $# = 0 ]; then
	all
else
	files=("$@")
	[[ $* == *.bats* ]] || files+=(tests/shell/*.bats)
	bats --formatter tap "${files[@]}" | tee "$logs/all"
	ended "${PIPESTATUS[0]}" "$logs/all" "$@" | tee -a "$logs/all"
fi
awk '/^ok .* # skip/ { s++; next } /^ok / { p++ } /^not ok / { f++ }
	END { printf "shell: %d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p + s == 0 }' "$logs/all"
