#!/bin/bash
# Everything under the race detector, which needs a C compiler and makes it several
# times slower. -short leaves out what has no goroutines and takes long.
set -euo pipefail

if ! command -v gcc >/dev/null; then
	echo "race: no gcc, so the race detector does not run"
	exit 0
fi
# Without the pause at the end of each process, of which the tests start many.
export GORACE=atexit_sleep_ms=0
CGO_ENABLED=1 "${GO:-go}" run ./lib/reftest/gotest race -race -short -skip '^TestInterop' ./lib/... ./cmd/...
