#!/bin/bash
# Runs tests under the race detector, which needs a C compiler and makes them several times
# slower. -short leaves out long tests without goroutines; so are packages in which neither the
# code nor a test starts one.
set -euo pipefail

if ! command -v gcc >/dev/null; then
	echo "race: no gcc, so the race detector does not run"
	exit 0
fi
# No pause at the end of each process: the tests start many.
export GORACE=atexit_sleep_ms=0
alone='/lib(/(erofs/z|ext4(/disk|/grow|/read)?|lz4))?$'
mapfile -t packages < <("${GO:-go}" list ./lib/... ./cmd/... | grep -vE "$alone")
CGO_ENABLED=1 "${GO:-go}" run ./lib/reftest/gotest race -race -short -skip '^TestInterop' "${packages[@]}"
