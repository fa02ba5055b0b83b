#!/bin/bash
# Runs all tests under the race detector, which needs a C compiler and makes them several
# times slower. -short leaves out long tests without goroutines.
set -euo pipefail

if ! command -v gcc >/dev/null; then
	echo "race: no gcc, so the race detector does not run"
	exit 0
fi
# No pause at the end of each process: the tests start many.
export GORACE=atexit_sleep_ms=0
CGO_ENABLED=1 "${GO:-go}" run ./lib/reftest/gotest race -race -short -skip '^TestInterop' ./lib/... ./cmd/...
