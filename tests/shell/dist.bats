# What "make dist" gives to users. make soak makes it for all platforms, and all of it twice.

load helpers
setup() {
	need dpkg-deb
	common_setup
	once dist first_dist || fail "$(<"$BATS_RUN_TMPDIR/said")"
	dist=$BATS_RUN_TMPDIR/dist
	arch=$("${GO:-go}" env GOARCH)
	name=ocipipe-1.2.3-linux-$arch
	deb=$dist/ocipipe_1.2.3_$arch.deb
}

given=(VERSION=1.2.3 SOURCE_DATE_EPOCH=1700000000 MAINTAINER='A Name <name@example.org>')

[ "${SOAK:-}" = true ] || given+=("DIST_TARGETS=linux/$("${GO:-go}" env GOARCH)")

first_dist() {
	make -s -C "$REPO" dist "DIST=$BATS_RUN_TMPDIR/dist" "${given[@]}" >"$BATS_RUN_TMPDIR/said" 2>&1
}

# small_go DIR makes DIR/go, with which dist.sh is soon done: it builds ocipipe, and keeps it in DIR,
# but what is packed are scripts of a line. With SLOW it writes that file, and fails once SLOW.go is
# there; with UNLICENSED a module has no licence.
small_go() {
	mkdir -p "$1"
	cat >"$1/go" <<-END
		#!/bin/bash
		set -eu
		go=${GO:-go} own=$1 bin=$BIN
	END
	cat >>"$1/go" <<-'END'
		[ "$1 ${UNLICENSED:-}" != 'list yes' ] || exec echo "example.org/m v1.0.0 $own"
		[ "$1" = build ] || exec "$go" "$@"
		to=${*: -2:1}
		if [ -n "${SLOW:-}" ]; then
			: >"$SLOW"
			until [ -e "$SLOW.go" ]; do sleep 0.05; done
			mkdir -p "$to"
			: >"$to/late"
			mv "$SLOW" "$SLOW.done"
			exit 1
		elif [ "${*: -1}" = ./cmd/ocipipe ]; then
			"$go" "${@:1:$#-2}" "$own/" ./cmd/ocipipe
			printf '#!/bin/sh\nexec %s/ocipipe "$@"\n' "$own" >"$to/ocipipe"
		else
			for tool in "$bin"/*; do
				echo "${tool##*/}" >"$to/${tool##*/}"
			done
		fi
		chmod 755 "$to"/*
	END
	chmod 755 "$1/go"
}

@test "binaries of one platform, with all that goes with them" {
	need file
	(cd "$dist" && sha256sum --quiet -c SHA256SUMS)
	[ "$(cut -c 67- "$dist/SHA256SUMS")" = "$(ls -I SHA256SUMS "$dist")" ] || fail "not every file has a checksum"
	tar -xf "$dist/$name.tar.gz"
	[ "$(ls "$name/bin")" = "$(single_tools)" ] || fail "tools: $(ls "$name/bin")"
	[ "$(ls "$name/share/man/man1")" = "$(single_tools | sed 's/$/.1/')" ] || fail "pages: $(ls "$name/share/man/man1")"
	cmp "$REPO/README.md" "$name/README.md"
	grep -o ']([^)]*)' "$name/README.md" | tr -d '])(' >links
	(($(wc -l <links) > 5)) || fail "links: $(<links)"
	while read -r link; do
		[ -e "$name/$link" ] || fail "README.md links to $link, which is not there"
	done <links
	cmp "$REPO/tests/shell/guides/boot/start" "$name/tests/shell/guides/boot/start"
	for tool in $(single_tools); do
		file "$name/bin/$tool" | grep -q 'statically linked.* stripped' || fail "$tool: $(file "$name/bin/$tool")"
		[ "$("$name/bin/$tool" --version)" = "$tool 1.2.3" ] || fail "$tool: $("$name/bin/$tool" --version)"
		SOURCE_DATE_EPOCH=1700000000 "$tool" --man | cmp - "$name/share/man/man1/$tool.1"
		"$tool" --completion=bash | cmp - "$name/share/bash-completion/completions/$tool"
	done
	[ "$("$dist/$name" --list)" = "$(single_tools)" ] || fail "all tools in one: $("$dist/$name" --list)"
	run --separate-stderr bash -c "$dist/$name tar2tree </dev/null >&-"
	assert_error tar2tree 1 'standard output: is closed or not open for writing'
	! grep -qF "$REPO" "$dist/$name" "$name"/bin/* || fail "a binary has the path of its sources"
}

@test "the licences of what is linked go with the binaries" {
	tar -xOf "$dist/$name.tar.gz" "$name/LICENSES" >licences
	grep -q '^The Go runtime' licences
	"${GO:-go}" version -m "$dist/$name" | sed -n 's/^\tdep\t\([^\t]*\)\t\([^\t]*\).*/\1 \2/p' >modules
	(($(wc -l <modules) > 8)) || fail "modules: $(<modules)"
	while read -r module; do
		grep -qF "$module, " licences || fail "no licence of $module"
	done <modules
	dpkg-deb -x "$deb" root
	zcat root/usr/share/doc/ocipipe/LICENSES.gz | cmp - licences
}

@test "owners and times in archives are fixed" {
	tar -tvf "$dist/$name.tar.gz" --full-time --numeric-owner >list
	(($(wc -l <list) > 60)) || fail "$(<list)"
	! grep -v '^[-d]r[-w][-x]r-[-x]r-[-x] 0/0 .* 2023-11-14 22:13:20 ' list || fail "other owners, modes or times"
	dpkg-deb -c "$deb" >list
	! grep -v '^[-dl]rw[-x]r[-w][-x]r[-w][-x] root/root .* 2023-11-14 22:13 ' list || fail "other owners, modes or times"
}

@test "the Debian package installs, works, and is removed" {
	need_root
	mkdir -p root/var/lib/dpkg/{info,updates,triggers}
	touch root/var/lib/dpkg/{status,available}
	run --separate-stderr dpkg --root="$PWD/root" --force-depends --force-architecture --log=/dev/null -i "$deb"
	assert_status 0
	[ "$(dpkg-query --root="$PWD/root" -W -f '${Status} ${Version} ${Maintainer}' ocipipe)" = 'install ok installed 1.2.3 A Name <name@example.org>' ] || fail "not installed"
	run --separate-stderr dpkg --root="$PWD/root" --verify ocipipe
	assert_ok
	assert_output ''
	for tool in $(single_tools); do
		[ "$(chroot root "/usr/bin/$tool" --version)" = "$tool 1.2.3" ] || fail "$tool: $(chroot root "/usr/bin/$tool" --version)"
		zcat "root/usr/share/man/man1/$tool.1.gz" | cmp - <(SOURCE_DATE_EPOCH=1700000000 "$tool" --man)
	done
	for file in man/man1/ocipipe.1.gz bash-completion/completions/ocipipe zsh/vendor-completions/_ocipipe fish/vendor_completions.d/ocipipe.fish doc/ocipipe/copyright doc/ocipipe/changelog.gz; do
		[ -f "root/usr/share/$file" ] || fail "no $file"
	done
	[ "$(dpkg-deb -f "$deb" Installed-Size)" -gt "$(($(stat -c %s root/usr/bin/ocipipe) / 1024))" ] || fail "its size is wrong"
	run --separate-stderr dpkg --root="$PWD/root" --log=/dev/null --purge ocipipe
	assert_status 0
	[ ! -e root/usr ] || fail "left: $(find root/usr)"
}

@test "the same bytes from another directory and around it" {
	mkdir -p elsewhere/tmp elsewhere/source
	tar -C "$REPO" --exclude=./.git --exclude=./bin --exclude=./dist --exclude=./demo --exclude=./share -cf - . | tar -C elsewhere/source -xf - --no-same-permissions
	chmod -R go= elsewhere/source
	GOPATH=$("${GO:-go}" env GOPATH) GOMODCACHE=$("${GO:-go}" env GOMODCACHE) GOCACHE=$("${GO:-go}" env GOCACHE)
	[ "${SOAK:-}" != true ] || GOCACHE=$PWD/elsewhere/cache # compiled anew
	export GOPATH GOMODCACHE GOCACHE
	local other=()
	if [ "${SOAK:-}" != true ]; then
		# Packing takes most of the time, so it is compared with less to pack, and of the
		# binaries the one that has all tools.
		small_go "$PWD/one"
		small_go "$PWD/other"
		make -s -C "$REPO" dist "GO=$PWD/one/go" "DIST=$PWD/small" "${given[@]}"
		cmp one/ocipipe "$dist/$name"
		dist=$PWD/small other=("GO=$PWD/other/go")
	fi
	(
		umask 077
		export TMPDIR=$PWD/elsewhere/tmp HOME=$PWD/elsewhere TZ=Asia/Kathmandu LC_ALL=C
		make -s -C elsewhere/source dist "${other[@]}" "DIST=$PWD/elsewhere/again" "${given[@]}"
	)
	run diff -r "$dist" elsewhere/again
	assert_status 0
	[ "${#other[@]}" = 0 ] || cmp one/ocipipe other/ocipipe
	[ -z "$(find elsewhere/tmp -mindepth 1)" ] || fail "left: $(find elsewhere/tmp)"
}

@test "lintian has nothing to say but that no copyright is stated" {
	need lintian
	run lintian --allow-root --fail-on error --suppress-tags copyright-without-copyright-notice "$dist"/*.deb
	assert_status 0
	assert_output ''
}

@test "every platform" {
	[ "${SOAK:-}" = true ] || skip "only in make soak"
	need file
	platforms=(linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64)
	kinds=('ELF 64-bit .*x86-64.*statically linked.* stripped' 'ELF 64-bit .*aarch64.*statically linked.* stripped'
		'Mach-O 64-bit x86_64' 'Mach-O 64-bit arm64' 'PE32+ .* x86-64')
	for i in "${!platforms[@]}"; do
		name=ocipipe-1.2.3-${platforms[i]} suffix=
		[[ $name != *windows* ]] || suffix=.exe
		tar -xf "$dist/$name.tar.gz"
		[ "$(ls "$name/bin")" = "$(single_tools | sed "s/\$/$suffix/")" ] || fail "$name: $(ls "$name/bin")"
		for file in "$dist/$name$suffix" "$name"/bin/*; do
			file "$file" | grep -q "${kinds[i]}" || fail "$(file "$file")"
		done
		rm -r "$name"
	done
	[ "$(find "$dist" -name 'ocipipe-*' | wc -l)" = $((2 * ${#platforms[@]})) ] || fail "other platforms: $(ls "$dist")"
	[ "$(dpkg-deb -f "$dist/ocipipe_1.2.3_arm64.deb" Architecture)" = arm64 ] || fail "another architecture"
}

@test "what it cannot make is an error, and leaves what is there" {
	mkdir mine
	echo mine >mine/file
	run --separate-stderr env "${given[@]}" "$REPO/tests/shell/dist.sh" mine linux/amd64
	assert_error dist 1 "$PWD/mine: exists, and was not made by this"
	echo mine >mine/SHA256SUMS
	run --separate-stderr env "${given[@]}" "$REPO/tests/shell/dist.sh" mine linux/amd64
	assert_error dist 1 "$PWD/mine: exists, and was not made by this"
	for wrong in VERSION=v1 VERSION=1-2 SOURCE_DATE_EPOCH=today MAINTAINER=me MAINTAINER=$'A <a@b>\nDepends: x <c@d>'; do
		run --separate-stderr env "${given[@]}" "$wrong" "$REPO/tests/shell/dist.sh" out linux/amd64
		wrong=${wrong#*=}
		assert_error dist 1 ": ${wrong@Q} is not"
	done
	# A failed build keeps the last one.
	mkdir -p out
	echo last >out/SHA256SUMS
	run --separate-stderr env "${given[@]}" "$REPO/tests/shell/dist.sh" out linux/none
	[ "$status" != 0 ] || show "it has built for linux/none"
	[[ $stderr == *linux/none* ]] || show "it does not say which"
	[ "$(<out/SHA256SUMS)" = last ] || fail "the last one is gone"
	run --separate-stderr env "${given[@]}" "$REPO/tests/shell/dist.sh" out amd64
	assert_error dist 1 'amd64 is not OS/ARCH'
	assert_no_debris mine out
	run --separate-stderr env "${given[@]}" "$REPO/tests/shell/dist.sh" none/out linux/amd64
	assert_status 1
	[[ $stderr == *none/* ]] || show "it does not say where"
	assert_no_debris mine out
	# Without git the version and the time have to be given.
	mkdir -p alone/tests/shell
	cp "$REPO/tests/shell/dist.sh" alone/tests/shell
	GIT_CEILING_DIRECTORIES=$PWD run --separate-stderr alone/tests/shell/dist.sh out linux/amd64
	assert_error dist 1 'no commit: set SOURCE_DATE_EPOCH'
}

@test "a failure or a signal leaves what was there, and nothing else" {
	local signal pid
	small_go "$BATS_TEST_TMPDIR/small"
	mkdir out
	echo last >out/SHA256SUMS
	for signal in INT TERM HUP; do
		SLOW=$BATS_TEST_TMPDIR/$signal "${unignored[@]}" "${given[@]}" GO="$BATS_TEST_TMPDIR/small/go" \
			"$REPO/tests/shell/dist.sh" out linux/amd64 3>&- &
		pid=$!
		until [ -e "$BATS_TEST_TMPDIR/$signal" ]; do sleep 0.05; done
		kill -s "$signal" "$pid"
		: >"$BATS_TEST_TMPDIR/$signal.go"
		status=0
		wait "$pid" || status=$?
		[ "$status" = $((128 + $(kill -l "$signal"))) ] || fail "exit code $status"
		until [ -e "$BATS_TEST_TMPDIR/$signal.done" ]; do sleep 0.05; done
		assert_no_debris out
	done
	UNLICENSED=yes run --separate-stderr env "${given[@]}" GO="$BATS_TEST_TMPDIR/small/go" "$REPO/tests/shell/dist.sh" out linux/amd64
	assert_status 1
	[[ $stderr == 'dist: example.org/m has no licence'* ]] || show "another error"
	[ "$(<out/SHA256SUMS)" = last ] || fail "the last one is gone"
	assert_no_debris out
	# What it makes takes the place of the last one.
	env "${given[@]}" GO="$BATS_TEST_TMPDIR/small/go" "$REPO/tests/shell/dist.sh" out linux/amd64
	[ -f out/ocipipe-1.2.3-linux-amd64 ] || fail "it is not there: $(ls out)"
	assert_no_debris out
}
