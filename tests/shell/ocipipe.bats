# All tools in one program, under their names and as its first argument.

load helpers
setup() {
	common_setup
	mkdir links
	ocipipe --install links
}
teardown() { unmount_all; }

# as_link puts the links before the tools in PATH.
as_link() { PATH=$PWD/links:$PATH; }

@test "--list has every tool" {
	run --separate-stderr ocipipe --list
	assert_ok
	assert_output "$(single_tools)"
	ocipipe --list -o list
	[ "$(<list)" = "$output" ] || fail "another list in a file"
	for tool in $(single_tools); do
		ocipipe --help | grep -q "^    $tool  *[a-zE]" || fail "--help does not say what $tool is for"
	done
}

@test "by a link and by the first argument it is the tool" {
	small_layer layer.tar
	tar2tree layer.tar -o want.tree
	tree2erofs want.tree -o want.erofs
	for tool in $(single_tools); do
		for flag in --version --help --man --completion=bash --completion=zsh --completion=fish; do
			"$BIN/$tool" $flag >want
			run --separate-stderr bash -c "links/$tool $flag | cmp - want && ocipipe $tool $flag | cmp - want"
			assert_ok
		done
	done
	run --separate-stderr bash -o pipefail -c 'links/tar2tree --input layer <layer.tar | links/tree2erofs | cmp - want.erofs'
	assert_ok
	run --separate-stderr bash -o pipefail -c 'ocipipe tar2tree --input layer layer.tar | ocipipe tree2erofs | cmp - want.erofs'
	assert_ok
	run --separate-stderr bash -c 'exec -a C:\\bin\\tar2tree.EXE ocipipe --input layer layer.tar | cmp - want.tree'
	assert_ok
}

@test "exit codes and messages are those of the tool" {
	head -c 700 "$BIN/tar2tree" >bad
	while read -ra tool; do
		run --separate-stderr "${tool[@]}" --no-such-flag
		assert_error tar2tree 2 'unknown flag --no-such-flag'
		[[ $stderr == *'tar2tree: hint: see tar2tree --help' ]] || show "another hint"
		run --separate-stderr "${tool[@]}" missing.tar -o out
		assert_error tar2tree 1 'missing.tar: open: no such file or directory'
		run --separate-stderr "${tool[@]}" bad -o out
		assert_error tar2tree 1 bad
		assert_no_debris links bad
	done <<<$'links/tar2tree\nocipipe tar2tree'
	run --separate-stderr bash -c 'links/oci-fetch --no-cache --retries 0 --insecure localhost:1/r'
	assert_error oci-fetch 75 'localhost:1'
	for signal in INT TERM; do
		interrupted $signal links/tar2tree --input layer -o out
		[ "$status" = $((128 + $(kill -l $signal))) ] || fail "exit code $status"
		assert_no_debris links bad
	done
	head -c 3000000 /dev/urandom >file
	tar -cf large.tar file
	run bash -c 'links/tar2tree --input layer large.tar | head -c 1 >/dev/null; echo ${PIPESTATUS[0]}'
	assert_output 141
}

@test "closed standard streams" {
	small_layer layer.tar
	for tool in links/tar2tree 'ocipipe tar2tree'; do
		for redirect in '<layer.tar >&-' '<layer.tar 1</dev/null'; do
			run --separate-stderr bash -c "$tool --input layer - $redirect"
			assert_error tar2tree 1 'standard output: is closed or not open for writing'
		done
		run --separate-stderr bash -c "$tool --input layer - <&- | cat; exit \${PIPESTATUS[0]}"
		assert_status 1
		assert_stderr_line tar2tree 'standard input: is closed or not open for reading'
		run --separate-stderr bash -c "$tool --input layer - <layer.tar 2>&- >/dev/null"
		assert_ok
	done
	run --separate-stderr bash -c 'ocipipe --list >&-'
	assert_error ocipipe 1 'standard output: is closed or not open for writing'
}

@test "what is not a tool is a usage error" {
	ln -s "$BIN/ocipipe" tar2treee
	for line in './tar2treee' './tar2treee --help' './tar2treee layer.tar' 'ocipipe tar2treee' 'ocipipe tar2treee --help' 'ocipipe -- tar2treee'; do
		run --separate-stderr bash -c "$line"
		assert_error ocipipe 2 '"tar2treee" is not a tool'
		[[ $stderr == *'ocipipe: hint: see ocipipe --list' ]] || show "no hint"
	done
	for line in ocipipe 'ocipipe --quiet' 'ocipipe --'; do
		run --separate-stderr bash -c "$line"
		assert_error ocipipe 2 'the name of a tool is missing'
	done
	run --separate-stderr ocipipe --quiet tar2tree -o x
	assert_error ocipipe 2 'tar2tree: a tool is the first argument, and its flags follow'
	run --separate-stderr ocipipe --install links --list
	assert_error ocipipe 2 "--list and --install exclude each other"
	run --separate-stderr ocipipe --install links -o x
	assert_error ocipipe 2 '--output is for --list'
	run --separate-stderr ocipipe --install ''
	assert_error ocipipe 2 '--install: value is empty'
}

@test "another name of the program itself, and none" {
	cp "$BIN/ocipipe" ocipipe-1.0-linux-amd64
	run --separate-stderr ./ocipipe-1.0-linux-amd64 --list
	assert_ok
	assert_output "$(single_tools)"
	cp "$BIN/ocipipe" renamed
	run --separate-stderr ./renamed tree2tar --version
	assert_ok
	assert_output "$(tree2tar --version)"
	run --separate-stderr bash -c 'exec -a "" ocipipe tree2tar --version'
	assert_ok
}

@test "--install" {
	for tool in $(single_tools); do
		[ "$(readlink "links/$tool")" = "$BIN/ocipipe" ] || fail "$tool: $(readlink "links/$tool")"
	done
	[ "$(find links | wc -l)" = $((1 + $(single_tools | wc -l))) ] || fail "more links: $(ls links)"
	run --separate-stderr ocipipe --install links
	assert_ok
	# In the directory of the program the links can be moved.
	mkdir -p initramfs/bin
	cp "$BIN/ocipipe" initramfs/bin
	ln initramfs/bin/ocipipe initramfs/bin/tree2tar
	run --separate-stderr initramfs/bin/ocipipe --install initramfs/bin
	assert_ok
	mv initramfs moved
	[ "$(readlink moved/bin/tar2tree)" = ocipipe ] || fail "$(readlink moved/bin/tar2tree)"
	[ ! -L moved/bin/tree2tar ] || fail "a hard link was replaced"
	moved/bin/tar2tree --version
	# Run by a link it is the same program.
	mkdir other
	ln -s ../moved/bin/ocipipe other/ocipipe
	other/ocipipe --install other
	[ "$(readlink other/tar2tree)" = "$PWD/moved/bin/ocipipe" ] || fail "$(readlink other/tar2tree)"
}

@test "--install makes all links or none" {
	mkdir there
	echo mine >there/wrap-vmdk
	touch list
	run --separate-stderr ocipipe --install there
	assert_error ocipipe 1 "there/wrap-vmdk: exists, and is not a link to $BIN/ocipipe"
	[ "$(ls there)" = wrap-vmdk ] || fail "links: $(ls there)"
	ln -sf nowhere there/wrap-vmdk
	run --separate-stderr ocipipe --install there
	assert_error ocipipe 1 "there/wrap-vmdk: exists, and is not a link to $BIN/ocipipe"
	[ "$(ls there)" = wrap-vmdk ] || fail "links: $(ls there)"
	run --separate-stderr ocipipe --install missing
	assert_error ocipipe 1 "missing/erofs-patch: directory missing: no such file or directory"
	run --separate-stderr ocipipe --install there/wrap-vmdk
	assert_error ocipipe 1 there/wrap-vmdk
	run --separate-stderr ocipipe --install list
	assert_error ocipipe 1 "list/erofs-patch: list is not a directory"
	mkdir full
	need_root
	mount -t tmpfs -o nr_inodes=8 tmpfs full || skip_or_fail "mounting is not allowed here"
	run --separate-stderr ocipipe --install full
	assert_error ocipipe 1 'link: no space left on device'
	[ -z "$(ls full)" ] || fail "links: $(ls full)"
}

@test "completion of the names of tools" {
	need fish
	touch tree.file
	ocipipe --completion=bash >script
	run --separate-stderr bash -uc '. ./script; COMP_WORDS=(ocipipe tree) COMP_CWORD=1; _ocipipe; printf "%s\n" "${COMPREPLY[@]}" | sort'
	assert_ok
	assert_output $'tree.file\ntree2erofs\ntree2ext4\ntree2tar'
	ocipipe --completion=fish >script
	HOME=$PWD run --separate-stderr fish --no-config -c 'source script; complete -C "ocipipe tree" | sort'
	assert_ok
	assert_output $'tree.file\ntree2erofs\ntree2ext4\ntree2tar'
	ocipipe --completion=zsh | grep -q "^	':tool:(erofs-patch .* wrap-vmdk)'" || fail "zsh completes no tools"
}

@test "a tool does not pay for what the others need to begin" {
	GODEBUG=inittrace=1 ocipipe tree2tar --version 2>trace
	(($(grep -c '^init ocipipe/' trace) > 10)) || fail "no trace: $(<trace)"
	run awk '/^init ocipipe\// && $8 > 16384' trace
	assert_output ''
}

@test "make install MULTICALL=1" {
	mkdir -p root/usr/bin
	echo older >root/usr/bin/tar2tree
	run --separate-stderr make -s -C "$REPO" -o build install MULTICALL=1 "DESTDIR=$PWD/root" PREFIX=/usr
	assert_ok
	for tool in $(single_tools); do
		[ "$(readlink "root/usr/bin/$tool")" = ocipipe ] || fail "$tool: $(readlink "root/usr/bin/$tool")"
		[ "$("root/usr/bin/$tool" --version)" = "$("$tool" --version)" ] || fail "$tool is another"
		[ -f "root/usr/share/man/man1/$tool.1" ] || fail "no man page of $tool"
	done
	[ "$(find root/usr/bin -type f)" = root/usr/bin/ocipipe ] || fail "more files: $(ls -l root/usr/bin)"
}
