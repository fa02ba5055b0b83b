package main

// makeCommit makes a base of 1 GB in a layout, a layer of 500 MB, half of each of which
// compresses, and for umoci the base unpacked, with the layer in it.
const makeCommit = `fill() { head -c $1 /dev/urandom > $3/random; head -c $1 /dev/zero | tr '\0' $2 > $3/same; }
	mkdir {work}/base {work}/new; fill 500M b {work}/base; fill 250M c {work}/new; mkdir {work}/top; mv {work}/new {work}/top/new
	tar -C {work}/base --numeric-owner -c . | oci-commit --base scratch --platform linux/amd64 --compress gzip --layer - --layout {work}/layout:base
	tar -C {work}/top --numeric-owner -cf {work}/layer.tar .
	if command -v umoci > {work}/found; then
		umoci unpack --image {work}/layout:base {work}/bundle; cp -a {work}/top/. {work}/bundle/rootfs/
	fi
	rm -r {work}/base
`

// listCommitted lists an archive. Times of directories are those of copying, for umoci.
const listCommitted = `tar2tree --no-data --digest - | sed -e '/^#/d' -e '/^\. /d' -e 's/ time=[^ ]*//'`

// commitRows are about new images of changes.
func commitRows() []row {
	return []row{{
		name: "commit", work: "layer of 500 MB over a base of 1 GB, in a layout",
		prepare: makeCommit + script("ours", `rm -rf $2; cp -al $1 $2; oci-commit --base oci:$2:base --layer $3 --compress $4 --layout $2:new`) +
			script("umoci", `rm -rf $2; cp -al $1 $2; umoci repack --image $2:new $3`),
		list: "oci-fetch oci:{out}:new | " + listCommitted,
		contenders: []contender{
			{name: "ours", line: "bash {work}/ours {work}/layout {out} {work}/layer.tar zstd"},
			{name: "ours, gzip", line: "bash {work}/ours {work}/layout {out} {work}/layer.tar gzip"},
			{name: "umoci repack, gzip", line: "bash {work}/umoci {work}/layout {out} {work}/bundle", missing: needs("umoci")},
			{name: "tar, zstd: no image", line: "tar -C {work}/top --numeric-owner -c . | zstd -q -T0",
				list: "oci-commit --base oci:{work}/layout:base --layer {out} | " + listCommitted, missing: needs("zstd")},
		},
	}, {
		name: "commit-archive", work: "the same in zstd, to an archive",
		prepare: makeCommit,
		list:    "cat {out} | " + listCommitted,
		contenders: []contender{
			{name: "ours", line: "oci-commit --base oci:{work}/layout:base --layer {work}/layer.tar --compress zstd -o {out}"},
		},
	}}
}
