package main

import (
	"fmt"
	"strings"
)

// mountImage mounts the image {out} at {work}/mnt, without what the kernel remembers of it.
const mountImage = `mkdir -p {work}/mnt; mount -t erofs -o ro,loop {out} {work}/mnt; trap "umount {work}/mnt" EXIT; `

// listCompressed lists an image as the kernel decompresses it. The root is left out, since
// mkfs.erofs makes its own.
const listCompressed = mountImage + `tar -C {work}/mnt --format=posix --xattrs --xattrs-include="*" --numeric-owner -c . |
	tar2tree --sort --no-data --digest | sed -e "s/ nlink=[0-9]*//" -e "/^#/d" -e "/^\. /d"`

// compression is one way to compress, with the words of ours and of mkfs.erofs. Levels and
// the largest physical cluster are the same.
type compression struct{ name, ours, mkfs string }

var compressions = []compression{
	{"lz4-4K", "-z lz4 --pcluster 4K", "-zlz4 -C4096"},
	{"lz4-64K", "-z lz4 --pcluster 64K", "-zlz4 -C65536"},
	{"lz4hc-4K", "-z lz4hc,9 --pcluster 4K", "-zlz4hc,level=9 -C4096"},
	{"lz4hc-64K", "-z lz4hc,9 --pcluster 64K", "-zlz4hc,level=9 -C65536"},
	{"zstd-64K", "-z zstd,3 --pcluster 64K", "-zzstd,level=3 -C65536"},
	{"zstd-256K", "-z zstd,3 --pcluster 256K", "-zzstd,level=3 -C262144"},
	{"deflate-4K", "-z deflate,6 --pcluster 4K", "-zdeflate,level=6 -C4096"},
	{"deflate-64K", "-z deflate,6 --pcluster 64K", "-zdeflate,level=6 -C65536"},
}

// compressedRows are about compressed images: how they are made, with one worker and with
// two, and how fast the kernel reads them.
func compressedRows(mkfs string) (rows []row) {
	for _, in := range []struct{ name, work, input, flag string }{
		{"packages", "layer of Debian packages, plain", "debs/layer.tar", ""},
		{"npm", "layer of small npm files, plain", "npm/layer.tar", ""},
		{"gzip", "layer of Debian packages, gzip at level 6", "debs/layer.tar.gz", " --ungzip"},
	} {
		for _, c := range compressions {
			if in.flag == "" {
				rows = append(rows, c.row(mkfs, in.name, in.work, in.input, in.flag, 1))
			}
			rows = append(rows, c.row(mkfs, in.name, in.work, in.input, in.flag, 2))
		}
	}
	for _, c := range compressions {
		rows = append(rows, c.read(mkfs, "sequential", "sequential"), c.read(mkfs, "random", "4 KiB at random places"))
	}
	return rows
}

// row returns a row about writing, with a number of workers.
func (c compression) row(mkfs, name, work, input, flag string, workers int) row {
	ours := "tar2tree | tree2erofs " + c.ours
	if workers == 1 {
		ours = "tar2tree | env GOMAXPROCS=1 tree2erofs " + c.ours
	}
	r := row{
		name: fmt.Sprintf("%s-%s-%d", name, c.name, workers), list: listCompressed, input: input,
		work:    fmt.Sprintf("%s, to EROFS, %s, %d workers", work, c.ours, workers),
		missing: notRoot,
		contenders: []contender{
			{name: "ours", line: ours},
			{
				name: "mkfs.erofs", line: fmt.Sprintf("%s --quiet --tar=f%s %s --workers=%d {out} {in}", mkfs, flag, c.mkfs, workers),
				missing: func() string { return zMissing(mkfs, c.mkfs) },
			},
		},
	}
	if strings.Contains(c.mkfs, "-zdeflate") {
		lib := strings.Replace(c.mkfs, "-zdeflate", "-zlibdeflate", 1)
		r.contenders = append(r.contenders, contender{
			name: "mkfs.erofs, libdeflate", line: fmt.Sprintf("%s --quiet --tar=f%s %s --workers=%d {out} {in}", mkfs, flag, lib, workers),
			missing: func() string { return zMissing(mkfs, lib) },
		})
	}
	return r
}

// readImage reads an image that is cold: all files in turn, or 4,000 pieces of 4 KiB. The
// output is a digest of what was read.
const readImage = `mkdir -p {work}/mnt; mount -t erofs -o ro,loop $1 {work}/mnt; trap "umount {work}/mnt" EXIT
	if [ $2 = sequential ]; then {work}/readfiles $1 {work}/mnt; else {work}/readfiles $1 {work}/mnt {work}/places; fi`

// choosePlaces chooses the same pieces of every image of a tree, in files above 64 KiB.
const choosePlaces = `mkdir -p {work}/mnt; mount -t erofs -o ro,loop {work}/ours.erofs {work}/mnt
	(cd {work}/mnt; find . -type f -size +64k -printf '%s %p\n' | LC_ALL=C sort -k 2 |
		awk 'BEGIN { srand(7) } { size[NR] = $1; sub(/^[0-9]+ /, ""); path[NR] = $0 }
			END { for (i = 0; i < 4000; i++) { k = 1 + int(rand() * NR); print int(rand() * int(size[k] / 4096)), path[k] } }') > {work}/places
	umount {work}/mnt; `

// read returns a row about reading what was written.
func (c compression) read(mkfs, how, work string) row {
	image := func(name string) string { return "bash {work}/read {work}/" + name + ".erofs " + how }
	return row{
		name: "read-" + how + "-" + c.name, work: "the same images of packages, cold, in the kernel: " + work + ", " + c.ours, input: "debs/layer.tar",
		list: "cat {out}",
		prepare: fmt.Sprintf("go build -o {work}/readfiles ./lib/reftest/bench/readfiles; tar2tree {in} | tree2erofs > {work}/plain.erofs; tar2tree {in} | tree2erofs %s > {work}/ours.erofs; %s --quiet --tar=f %s {work}/mkfs.erofs {in} || true\n",
			c.ours, mkfs, c.mkfs) + choosePlaces + script("read", readImage),
		missing: notRoot,
		contenders: []contender{
			{name: "ours", line: image("ours")},
			{name: "ours, not compressed", line: image("plain")},
			{name: "mkfs.erofs", line: image("mkfs"), missing: func() string { return zMissing(mkfs, c.mkfs) }},
		},
	}
}

// zMissing says why mkfs.erofs cannot compress so, or returns "" if it can.
func zMissing(mkfs, words string) string {
	if why := tarMissing(mkfs); why != "" {
		return why
	}
	algorithm, _, _ := strings.Cut(strings.TrimPrefix(strings.Fields(words)[0], "-z"), ",")
	return helpMissing(mkfs, algorithm)
}
