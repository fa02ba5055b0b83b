#!/bin/bash
# Runs gofmt, go vet, and shellcheck over every shell file.
set -euo pipefail

unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	printf 'lint: run gofmt -w on:\n%s\n' "$unformatted" >&2
	exit 1
fi
"${GO:-go}" vet ./...
if command -v shellcheck >/dev/null; then
	shellcheck .ci/run tests/shell/*.sh tests/shell/guides/*/*.sh tests/shell/guides/boot/{init,start} tests/shell/*.bash
	# bats sets variables, runs tests in subshells, and hands lines to other shells.
	shellcheck --shell=bats --exclude=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317 tests/shell/*.bats
else
	echo "lint: no shellcheck, so shell files are not checked"
fi
