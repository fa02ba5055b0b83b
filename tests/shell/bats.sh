#!/bin/bash
# Runs the bats files and counts. Arguments go to bats: files to run instead of all, or
# options such as -f NAME.
set -uo pipefail

if ! command -v bats >/dev/null; then
	echo "shell: no bats, so the tools are not tested as a user runs them"
	exit 0
fi
files=("$@")
[[ $* == *.bats* ]] || files+=(tests/shell/*.bats)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bats --formatter tap "${files[@]}" | tee "$log"
status=$?
awk '/^ok .* # skip/ { s++; next } /^ok / { p++ } /^not ok / { f++ }
	END { printf "shell: %d passed, %d failed, %d skipped\n", p, f, s }' "$log"
exit $status
