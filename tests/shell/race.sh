#!/bin/bash
# The packages with goroutines of their own under the race detector, which needs a
# C compiler and makes everything several times slower.
set -euo pipefail

if ! command -v gcc >/dev/null; then
	echo "race: no gcc, so the race detector does not run"
	exit 0
fi
mapfile -t packages < <(grep -lE '^\s*"(sync|golang.org/x/sync/.*)"$' lib/*/*.go | xargs -n1 dirname | sort -u)
# Without the pause at the end of each process, of which the tests start many.
export GORACE=atexit_sleep_ms=0
CGO_ENABLED=1 "${GO:-go}" run ./lib/reftest/gotest race -race -short -skip '^TestInterop' "${packages[@]/#/./}"
