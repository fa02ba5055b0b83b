#!/bin/bash
# Runs the tests that take longer than "make test" may: each fuzz test for FUZZTIME, and
# the tests that are long or use the network.
set -euo pipefail

go=${GO:-go}
fuzztime=${FUZZTIME:-5m}
"$go" list ./lib/... | while read -r package; do
	"$go" test -list '^Fuzz' "$package" | { grep '^Fuzz' || true; } | while read -r fuzz; do
		echo "soak: $package $fuzz for $fuzztime"
		"$go" test -run '^$' -fuzzminimizetime 100x -fuzz "^$fuzz\$" -fuzztime "$fuzztime" "$package"
	done
done
SOAK=true "$go" run ./lib/reftest/gotest soak -count=1 -timeout 4h ./...
SOAK=true tests/shell/bats.sh
