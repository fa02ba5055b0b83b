# What the tools say of themselves: --help, man pages, completion in shells.

load helpers
load registries
setup() { common_setup; }
teardown() { stop_registries; }

# flags TOOL are its flags, one a line.
flags() { "$1" --completion=fish | sed -n 's/.* -l \([a-z-]*\).*/--\1/p'; }

# commands TOOL are its commands, if it has any.
commands() { "$1" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'; }

@test "--help names every flag in 80 columns, and has examples and exit codes" {
	for tool in $(tools); do
		run --separate-stderr env COLUMNS=200 "$tool" --help
		assert_ok
		(($(flags "$tool" | wc -l) > 7)) || fail "$tool: flags: $(flags "$tool")"
		all=$output
		for command in $(commands "$tool"); do
			all+=$'\n'$(COLUMNS=200 "$tool" "$command" --help)
		done
		[ -z "$(awk 'length > 80' <<<"$all")" ] || fail "$tool: $(awk 'length > 80' <<<"$all")"
		for flag in $(flags "$tool"); do
			grep -q -- "^  .*$flag\b" <<<"$all" || show "no $flag"
		done
		(($(examples "$tool" | grep -c "^$tool\|| $tool") >= 2)) || show "not two examples"
		[[ $output == *$'\nExit codes:\n  0 done, 1 failed, 2 '* ]] || show "no exit codes"
		limit=84
		[[ $tool != oci-materialize && $tool != oci-commit ]] || limit=114 # they have the flags of several others
		(($(wc -l <<<"$output") <= limit)) || show "too long: $(wc -l <<<"$output") lines"
	done
}

# examples TOOL are the commands in its --help.
examples() {
	"$1" --help | sed -n '/^Examples:/,/^$/s/^  \([^#]\)/\1/p'
}

@test "what makes file systems says what mounts them" {
	for tool in tree2erofs tree2ext4 mkext4upper wrap-vmdk oci-materialize; do
		[[ $("$tool" --help) == *Linux\ [1-9]* ]] || fail "$tool names no Linux"
	done
}

# The examples find these files here, and instead of alpine the small image.
example_files() {
	demo_image DIR TAG
	oci-fetch -o image.tar oci:DIR:TAG
	small_layer layer.tar
	small_layer init.tar
	gzip -c layer.tar >layer.tar.gz
	tar2tree image.tar -o rootfs.tree
	tree2erofs rootfs.tree -o rootfs.erofs
	cp rootfs.erofs old.erofs
	tree2ext4 rootfs.tree -o rootfs.ext4
	n=0
	for digest in $(oci-fetch --list --digests oci:DIR); do
		oci-fetch --layer "$digest" oci:DIR | tar2tree --input layer | tree2erofs --layer -o 00$n.erofs
		n=$((n + 1))
	done
	tree2erofs --fsmeta -o fsmeta.erofs 00*.erofs
	mkext4upper --size 64M -o upper.ext4
	printf '%s\n' '[{"append": {"path": "/etc/motd", "content": "patched\n"}}]' >patches.json
	export OCIPIPE_CACHE=$PWD/cache
	oci-materialize --as alpine oci:DIR:TAG >/dev/null
	mkdir tools
	export OCIPIPE_CACHE=$PWD/cache
	registries_setup
	bad_registry -behave '{"Push": true}'
	# shellcheck disable=SC2016 # for later
	printf '#!/bin/bash\nexec "%s/oci-push" "${@/#registry.example.com/%s}"\n' "$BIN" "$reg" >tools/oci-push
	export OCIPIPE_CACHE=$PWD/cache
	for tool in oci-fetch oci-materialize oci-commit; do
		# shellcheck disable=SC2016 # for later
		printf '#!/bin/bash\nexec "%s/%s" "${@/#alpine/oci:DIR:TAG}"\n' "$BIN" $tool >tools/$tool
	done
	printf '#!/bin/bash\ncat image.tar\n' >tools/docker
	oci-materialize --as alpine oci-archive:image.tar >/dev/null
	chmod +x tools/*
}

@test "the examples of --help run" {
	example_files
	for tool in $(tools); do
		examples "$tool" >"$tool.sh"
		PATH=$PWD/tools:$PATH run --separate-stderr bash -euxo pipefail "$tool.sh"
		[ "$status" = 0 ] || show "$tool: an example fails"
		! grep -v '^+' <<<"$stderr" || show "$tool: an example has something to say"
	done
}

@test "man pages" {
	need mandoc
	for tool in $(tools); do
		"$tool" --man >"$tool.1"
	done
	for tool in $(tools); do
		mandoc -Tlint -Wwarning "$tool.1" 2>&1 || fail "$tool.1 is not right"
		mandoc -Tascii "$tool.1" | sed 's/.\x08//g' >text
		for flag in $(flags "$tool"); do
			grep -q -- "^ .*$flag\b" text || fail "$tool.1 has no $flag"
		done
		for section in NAME SYNOPSIS DESCRIPTION OPTIONS ENVIRONMENT 'EXIT STATUS' EXAMPLES 'SEE ALSO'; do
			grep -qx "$section" text || fail "$tool.1 has no section $section"
		done
	done
}

@test "shells read the completion" {
	need bash zsh fish
	for tool in $(tools); do
		for shell in bash zsh fish; do
			"$tool" --completion=$shell >script
			run --separate-stderr "$shell" -n script
			assert_ok
			for flag in $(flags "$tool"); do
				grep -q -- "${flag#--}\b" script || fail "$tool: $shell does not complete $flag"
			done
		done
		"$tool" --completion=bash >script
		bash -euc '. ./script; complete -p "$1"' bash "$tool" | grep -q -- '-F _' || fail "bash completes nothing for $tool"
	done
}

@test "make install" {
	run --separate-stderr make -s -C "$REPO" -o build install "DESTDIR=$PWD/root" PREFIX=/usr
	assert_ok
	for tool in $(tools); do
		[ -x "root/usr/bin/$tool" ] || fail "no $tool"
		"$tool" --man | cmp - "root/usr/share/man/man1/$tool.1"
		"$tool" --completion=bash | cmp - "root/usr/share/bash-completion/completions/$tool"
		"$tool" --completion=zsh | cmp - "root/usr/share/zsh/site-functions/_$tool"
		"$tool" --completion=fish | cmp - "root/usr/share/fish/vendor_completions.d/$tool.fish"
	done
	[ "$(find root -type f -path '*share*' -perm 644 | wc -l)" = $((4 * $(tools | wc -l))) ] || fail "other files, or modes"
}
