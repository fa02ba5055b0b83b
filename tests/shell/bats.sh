#!/bin/bash
# Runs the bats files and counts; arguments are passed on, say -f NAME.
set -uo pipefail

if ! command -v bats >/dev/null; then
	echo "shell: no bats, so the tools are not tested as a user runs them"
	exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bats --formatter tap "$@" tests/shell/*.bats | tee "$log"
status=$?
awk '/^ok .* # skip/ { s++; next } /^ok / { p++ } /^not ok / { f++ }
	END { printf "shell: %d passed, %d failed, %d skipped\n", p, f, s }' "$log"
exit $status
