#!/bin/bash
# Runs the bats files and counts: without arguments all of them, one on each processor. Arguments
# go to bats: files to run instead, or options such as -f NAME.
set -uo pipefail

if ! command -v bats >/dev/null; then
	echo "shell: no bats, so the tools are not tested as a user runs them"
	exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# all runs every file, those that are long first, and shows each when it is done.
all() {
	# shellcheck disable=SC2016 # for later
	stat -c '%s %n' tests/shell/*.bats | sort -rn | cut -d ' ' -f 2 | xargs -P "$(nproc)" -I FILE bash -c '
		said=$(bats --formatter tap "$1" 2>&1)
		status=$?
		flock "$2" printf "# %s\n%s\n" "$1" "$said"
		exit $status' - FILE "$log"
}

if [ $# = 0 ]; then
	all | tee -a "$log"
else
	files=("$@")
	[[ $* == *.bats* ]] || files+=(tests/shell/*.bats)
	bats --formatter tap "${files[@]}" | tee -a "$log"
fi
status=$?
awk '/^ok .* # skip/ { s++; next } /^ok / { p++ } /^not ok / { f++ }
	END { printf "shell: %d passed, %d failed, %d skipped\n", p, f, s }' "$log"
exit $status
