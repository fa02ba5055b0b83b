# "make" builds the tools into bin/; README.md describes the other targets.

PREFIX ?= /usr/local
GO ?= go

# --version has the revision if git knows it.
ifeq (,$(findstring -buildvcs,$(GOFLAGS)))
export GOFLAGS := $(GOFLAGS) -buildvcs=$(shell git rev-parse -q --verify HEAD >/dev/null 2>&1 && echo true || echo false)
endif
export GO

.NOTPARALLEL:
.PHONY: build demo test setup lint unit race shell interop soak boot bench golden man dist clean install

# The entry point of the tools: see lib/cli/streams_linux.go.
SYSTEM := $(subst $() ,/,$(shell $(GO) env GOOS GOARCH))
ENTRY := $(if $(filter linux/amd64 linux/arm64,$(SYSTEM)),-ldflags=-E=ocipipe_start)

build:
	CGO_ENABLED=0 $(GO) build -trimpath $(ENTRY) -o bin/ ./cmd/...

# make demo IMAGE=alpine takes a real image from its registry.
demo: build
	tests/shell/demo.sh $(IMAGE)

test: setup build lint unit race shell interop

# Installs what the tests need (as root on Debian), or says what is missing.
setup:
	tests/shell/setup.sh

lint:
	tests/shell/lint.sh

# -count=1, because Go's test cache does not see the files that the import test reads.
unit:
	$(GO) run ./lib/reftest/gotest unit -count=1 ./lib
	$(GO) run ./lib/reftest/gotest unit -skip '^TestInterop' $$($(GO) list ./... | grep -v '/lib$$')

race:
	tests/shell/race.sh

shell: build
	tests/shell/bats.sh

# Against the reference tools and, as root, the kernel.
interop:
	$(GO) run ./lib/reftest/gotest interop -count=1 -run '^TestInterop' ./...

# FUZZTIME is the time for each fuzz test.
soak: build
	tests/shell/soak.sh

# Virtual machines on Debian's kernels; make boot IMAGE=alpine takes a real image.
boot: build
	tests/shell/boot.sh $(IMAGE)

# The tools in pipelines beside others that do the same, then the libraries.
# BASE= names the JSON of an earlier run to compare with, JSON= that of this run.
bench: build
	PATH="$(CURDIR)/bin:$$PATH" $(GO) run ./lib/reftest/bench
	$(GO) test -run '^$$' -bench . -benchmem ./...

golden:
	GOLDEN=update $(GO) test -count=1 -run Golden ./...
	git diff -- '*/testdata/golden*'

# The tools print their man pages, and the completion for bash, zsh and fish, to share/.
man: build
	rm -rf share
	tests/shell/man.sh bin share

# What users get: binaries for each platform, OS/ARCH, and for Linux Debian packages. VERSION,
# SOURCE_DATE_EPOCH and MAINTAINER are those of the commit, unless they are given.
DIST ?= dist
DIST_TARGETS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

dist:
	tests/shell/dist.sh "$(DIST)" $(DIST_TARGETS)

clean:
	rm -rf bin demo dist .dist.* share

# MULTICALL=1 installs one binary, and links to it that have the names of the tools.
install: build
	install -d $(DESTDIR)$(PREFIX)/bin
ifdef MULTICALL
	install -m 755 bin/ocipipe $(DESTDIR)$(PREFIX)/bin
	set -e; for tool in $$(bin/ocipipe --list); do ln -sf ocipipe $(DESTDIR)$(PREFIX)/bin/$$tool; done
else
	install -m 755 bin/* $(DESTDIR)$(PREFIX)/bin
endif
	umask 022 && tests/shell/man.sh bin $(DESTDIR)$(PREFIX)/share
