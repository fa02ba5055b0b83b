# --depfile: what a tool has read is what it says that it has read.

load helpers
setup() {
	common_setup
	need strace
	demo_image DIR
	oci-fetch -o image.tar oci:DIR
	small_layer layer.tar
	tar2tree --sort layer.tar >layer.tree
	tree2erofs --layer -o layer.erofs <layer.tree
	tree2erofs -o rootfs.erofs <layer.tree
	mkext4upper --tree layer.tree --size 64M -o upper.ext4
}

# opened TRACE: the files in the work directory that were opened to be read, without those of
# the cache, which are no input.
opened() {
	sed -n 's/.*openat([^,]*, "\([^"]*\)", \([^,)]*\).* = [0-9]*$/\2 \1/p' "$1" |
		awk -v work="$PWD/" '$1 !~ /WRONLY|RDWR|TMPFILE|CREAT|DIRECTORY|PATH/ { sub(work, "", $2); print $2 }' |
		while read -r name; do if [[ -f $name && $name != /* && $name != cache/* && $name != out ]]; then printf '%s\n' "${name#./}"; fi; done | sort -u
}

# told: the files that the rule in out.d names.
told() { sed -n '2,/[^\\]$/s/^  \([^ ]*\).*/\1/p' out.d | sort -u; }

# complete TOOL ARGS...: the tool names all the files that it opens, and no other.
complete() {
	rm -f trace*
	strace -ff -qq -o trace -e trace=openat "$@" -o out --depfile out.d 2>stderr || fail "$*: $(<stderr)"
	cat trace.* >trace # in files of their own, since calls that overlap are torn apart in one
	[ "$(told)" = "$(opened trace)" ] || fail "$*: named are:" "$(told)" "and opened:" "$(opened trace)"
	[ -n "$(told)" ] || fail "$*: nothing is named"
	rm -f out out.d trace*
}

@test "every file that is opened is named, and no other" {
	mkdir -p site/sub
	echo hello >site/index.html
	echo hello >site/sub/more
	echo hello >motd
	echo '- copy_file: {src: motd, dst: /etc/motd}' >patches.yaml
	echo '*.txt lz4' >hints
	cp layer.erofs above.erofs
	complete oci-fetch oci:DIR
	complete oci-fetch --layer 1 oci:DIR
	complete oci-fetch --list oci:DIR
	complete oci-fetch oci-archive:image.tar
	complete tar2tree DIR
	complete tar2tree image.tar layer.tar
	complete tar2tree DIR layer.tar
	complete tree2erofs layer.tree
	complete tree2erofs -z lz4 --compress-hints hints layer.tree
	complete tree2erofs --fsmeta layer.erofs above.erofs
	complete erofs2tree rootfs.erofs
	complete erofs2tree layer.erofs above.erofs
	complete erofs2tree --list rootfs.erofs
	complete erofs2tree --cat /etc/hostname rootfs.erofs
	complete tar2tree --sizes image.tar
	complete tree2ext4 layer.tree
	complete mkext4upper --size 64M --tree layer.tree --root-from rootfs.erofs
	complete ext42tree --upper upper.ext4 --lower rootfs.erofs
	complete tree2tar layer.tree
	complete erofs-patch --lower rootfs.erofs --copy-file motd:/x patches.yaml
	complete wrap-vmdk rootfs.erofs layer.erofs
	complete wrap-vmdk --format stream rootfs.erofs
	complete oci-commit --base oci:DIR --layer layer.tar --no-cache
	complete snapshot-pack create --upper upper.ext4 --image "a@sha256:$(printf %064d 1)"
	complete oci-materialize --cache cache oci:DIR
}

@test "a directory that is copied is named too, and a snapshot" {
	mkdir -p site/sub
	echo hello >site/sub/more
	erofs-patch --lower rootfs.erofs --copy-dir site:/srv/site -o out --depfile out.d
	[ "$(told | xargs)" = 'rootfs.erofs site site/sub site/sub/more' ] || fail "$(<out.d)"
	erofs-patch --root site --lower rootfs.erofs --copy-file sub/more:/more -o out --depfile out.d
	[ "$(told | xargs)" = 'rootfs.erofs site/sub/more' ] || fail "$(<out.d)"
	image=a@sha256:$(printf %064d 1)
	snapshot-pack create --upper upper.ext4 --image "$image" --dir snap --depfile snap.d --depfile-target snap
	grep -q '^snap: ' snap.d || fail "$(<snap.d)"
	grep -q '^  upper.ext4' snap.d || fail "$(<snap.d)"
	snapshot-pack create --from snap -o out --depfile out.d
	[ "$(told | xargs)" = 'snap/snapshot.json snap/upper.ext4' ] || fail "$(<out.d)"
}

@test "a failure and a signal leave the rule and the output" {
	echo old >out
	echo old >out.d
	head -c 300 layer.tree >cut.tree
	run --separate-stderr tree2erofs -o out --depfile out.d cut.tree
	assert_status 1
	interrupted TERM tree2tar -o out --depfile out.d
	assert_status 143
	cat layer.tree - </dev/null >full.tree
	run --separate-stderr tree2tar -o out --depfile missing/out.d full.tree
	assert_error tree2tar 1 missing
	rm cut.tree full.tree
	[ "$(cat out out.d)" = $'old\nold' ] || fail "they have changed"
	assert_no_debris DIR image.tar layer.tar layer.tree layer.erofs rootfs.erofs upper.ext4 out out.d
}

@test "the rule is there before the output" {
	# Whenever the tool is killed, an output that is new has its rule.
	for n in {1..40}; do
		rm -f out out.d
		strace -f -qq -o trace -e trace=renameat,renameat2,linkat -e inject=renameat,renameat2,linkat:signal=KILL:when="$n" \
			tree2tar -o out --depfile out.d layer.tree || true
		[[ ! -e out || -e out.d ]] || fail "killed at step $n: no rule for what is there"
		[ ! -e out ] || break
	done
	((n > 1)) || fail "no step was found"
	[ -e out.d ] || fail "never finished"
}
