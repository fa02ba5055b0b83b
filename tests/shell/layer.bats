# What the tar of a layer means: names, marks, sizes, and what is refused in words.

load helpers
setup() {
	common_setup
	need python3
}

# raw_tar FILE makes a tar of what the Python on standard input does with
# add(name, data, **fields of the header) and pax(records).
raw_tar() {
	python3 - "$1" 3<&0 <<-'PY'
		import os, sys, tarfile
		out = open(sys.argv[1], "wb")
		def add(name, data=b"", **fields):
		    h = tarfile.TarInfo(name)
		    h.size = len(data)
		    for key, value in fields.items():
		        setattr(h, key, value)
		    out.write(h.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape"))
		    out.write(data + b"\0" * (-len(data) % 512))
		def pax(**records):
		    text = b""
		    for key, value in records.items():
		        body = f" {key}={value}\n".encode()
		        n = len(body) + 1
		        while len(str(n)) + len(body) != n:
		            n += 1
		        text += str(n).encode() + body
		    add("PaxHeaders/x", text, type=b"x")
		exec(os.fdopen(3).read())
		out.write(b"\0" * 1024)
	PY
}

# names FILE...: the paths that tar2tree makes of it, with type and link.
names() { tar2tree --no-data "$@" | sed -n 's/^\(\.[^ ]*\) type=\([a-z]*\).*/\1 \2/p'; }

@test "nothing hides behind an entry of 2^63-1 bytes" {
	for name in f .wh.f d/.wh..wh..opq .wh..wh.aufs; do
		raw_tar in.tar <<-PY
			add("$name", size=2**63-1)
			add("hidden", b"x")
		PY
		run --separate-stderr tar2tree -o out --max-file-size 0 --max-total-size 0 in.tar
		assert_error tar2tree 1 "cut short"
	done
	assert_no_debris in.tar
}

@test "a GNU name counts more than a pax one, as in containerd and Docker" {
	raw_tar in.tar <<-'PY'
		pax(path="pax")
		add("././@LongLink", b"gnu\0", type=b"L")
		add("short", b"x")
		add("././@LongLink", b"to-gnu\0", type=b"K")
		pax(linkpath="to-pax")
		add("link", type=b"2", linkname="short")
	PY
	run --separate-stderr bash -c 'tar2tree --no-data in.tar | grep -v "^#" | sed "s/ mode.*000 / /"'
	assert_ok
	assert_output $'./gnu type=file size=1\n./link type=link link=to-gnu'
}

@test "whiteouts of the longest names, there and back" {
	name=$(printf 'x%.0s' {1..255})
	raw_tar in.tar <<-PY
		pax(path="d/.wh.$name")
		add("short")
	PY
	for tool in 'cat' 'tree2tar --oci' 'tree2tar -z gzip --oci'; do
		run --separate-stderr bash -c "tar2tree in.tar | $tool | { [[ '$tool' == cat ]] && cat || tar2tree; } | grep '^\\./'"
		assert_ok
		assert_output "./d/$name type=char mode=0000 uid=0 gid=0 time=0.000000000 device=native,0,0"
	done
	run --separate-stderr bash -c 'tar2tree in.tar | tree2erofs --layer | erofs2tree --no-data - | grep -c "^\./d/x"'
	assert_output 1
	raw_tar long.tar <<-PY
		pax(path=".wh.x$name")
		add("short")
	PY
	run --separate-stderr tar2tree -o out long.tar
	assert_error tar2tree 1 "path component of 256 bytes, over 255"
	assert_no_debris in.tar long.tar
}

@test "aufs: what is below .wh..wh.plnk appears under the names that link to it" {
	raw_tar in.tar <<-'PY'
		add("./.wh..wh.plnk", type=b"5", mode=0o700)
		add("./.wh..wh.plnk/123.456", b"pseudo\n", mode=0o755, uid=7)
		add("./.wh..wh.orph", type=b"5", mode=0o700)
		add("./.wh..wh.aufs", b"x")
		add("bin", type=b"5", mode=0o755)
		add("bin/b", type=b"1", linkname="./.wh..wh.plnk/123.456")
		add("bin/a", type=b"1", linkname="./.wh..wh.plnk/123.456")
	PY
	for flag in '' --sort; do
		run --separate-stderr bash -c "tar2tree $flag in.tar | tree2tar | tar -xO bin/a bin/b"
		assert_ok
		[ "$output" = pseudo ] || show "not the content, once"
		run --separate-stderr names $flag in.tar
		assert_ok
		[ "$(sort <<<"$output")" = $'./bin dir\n./bin/a file\n./bin/b file' ] || show "names"
	done
	run --separate-stderr bash -c 'tar2tree in.tar | tree2erofs --layer | erofs2tree --no-data - | grep hardlink='
	assert_ok
	[[ $output == './bin/b type=file mode=0755 uid=7 '*'hardlink=./bin/a' ]] || show "not one inode"
	raw_tar bad.tar <<-'PY'
		add("bin/b", type=b"1", linkname="./.wh..wh.plnk/123.456")
	PY
	run --separate-stderr tar2tree -o out bad.tar
	assert_error tar2tree 1 "bin/b: corrupt layer: hard link to .wh..wh.plnk/123.456 of aufs, which the layer does not have before it"
	assert_no_debris in.tar bad.tar
}

@test "2,047 nested directories pass through every tool" {
	for n in 500 2047; do
		raw_tar in.tar <<-PY
			for i in range(1, $n + 1):
			    path = "/".join(["d"] * i)
			    add("././@LongLink", path.encode() + b"\0", type=b"L")
			    add("d", type=b"5", mode=0o755)
		PY
		run --separate-stderr bash -c "tar2tree in.tar | grep -ac '^\./d'"
		assert_ok
		assert_output "$n"
		tar2tree in.tar >in.tree
		for line in 'tree2erofs | erofs2tree -' 'tree2tar | tar2tree' 'tree2tar -z gzip | tar2tree' 'tree2erofs --layer | erofs2tree -'; do
			run --separate-stderr bash -c "<in.tree $line | grep -a '^\./d' | cmp - <(grep -a '^\./d' in.tree)"
			[ "$status" -eq 0 ] || show "$line"
		done
		run --separate-stderr bash -c 'tree2ext4 --check --shrink -o out.ext4 <in.tree && mkext4upper --tree in.tree --size 64M --inodes 4096 -o upper.ext4 && tar2tree in.tar in.tar >/dev/null'
		assert_ok
		rm -f out.ext4 upper.ext4
	done
	run --separate-stderr tar2tree --max-depth 2046 -o out in.tar
	assert_error tar2tree 1 "2047 path components, over the limit of 2046"
	assert_no_debris in.tar in.tree
}
