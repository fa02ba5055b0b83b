package disk

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Needs are what a machine needs to mount an image and to read its files.
type Needs struct {
	Linux    string   // the oldest version that can: "5.15" or later
	Config   []string // options of the kernel, without CONFIG_: what is not in every kernel with EROFS first
	Features []string // incompatible ones that the image has, by their names in erofs_fs.h, and others that not every kernel has
}

// OldestLinux is the first version that this project takes care of.
const OldestLinux = "5.15"

// The numbers of algorithms, as bits of Superblock.Algorithms.
const (
	hasLZ4     = 1 << 0
	hasLZMA    = 1 << 1
	hasDeflate = 1 << 2
	hasZstd    = 1 << 3
)

// usualBlockBits is the block size that Linux had from the beginning.
const usualBlockBits = 12

// need is a version of Linux, and what the image has that needs it.
type need struct {
	has           bool
	linux         string
	feature       string
	configuration string // "" for that of EROFS itself
}

// Needs returns what the fields of s say. It leaves out what a device table needs where all
// devices are on one disk; see [Needs.OneDisk].
func (s *Superblock) Needs() Needs {
	in := func(f Incompat) bool { return s.Incompat&f != 0 }
	compressed := in(IncompatLZ4 | IncompatCompression)
	uses := func(algorithm uint16) bool { return in(IncompatCompression) && s.Algorithms&algorithm != 0 }
	n := Needs{Linux: OldestLinux, Config: []string{"EROFS_FS"}, Features: []string{}}
	for _, k := range []need{
		{in(IncompatChunked), "5.15", "chunked_file", ""},
		{in(IncompatDevices), "5.16", "device_table", ""},
		{in(IncompatPrefixes), "6.4", "xattr_prefixes", ""},
		{s.BlockBits < usualBlockBits, "6.4", "subpage_blocks", ""},
		{s.BlockBits > usualBlockBits, OldestLinux, "large_blocks", ""}, // on a machine whose pages are as large
		{compressed, OldestLinux, "", "EROFS_FS_ZIP"},
		{in(IncompatLZ4), OldestLinux, "lz4_0padding", ""},
		{in(IncompatCompression), OldestLinux, "compr_cfgs", ""},
		{in(IncompatTailPacking), "5.17", "ztailpacking", ""},
		{in(IncompatFragments), "6.1", "fragments", ""}, // or dedupe, which has the same bit
		{uses(hasLZMA), "5.16", "lzma", "EROFS_FS_ZIP_LZMA"},
		{uses(hasDeflate), "6.6", "deflate", "EROFS_FS_ZIP_DEFLATE"},
		{compressed && s.BlockBits < usualBlockBits, "6.8", "", ""}, // before, it mounts, but compressed files cannot be opened
		{uses(hasZstd), "6.10", "zstd", "EROFS_FS_ZIP_ZSTD"},
		{in(Incompat48Bit), "6.15", "48bit", ""},
		{in(IncompatMetabox), "6.17", "metabox", ""},
	} {
		if k.has {
			n.add(k)
		}
	}
	return n
}

func (n *Needs) add(k need) {
	n.atLeast(k.linux)
	if k.feature != "" {
		n.Features = append(n.Features, k.feature)
	}
	if k.configuration != "" {
		n.Config = append(n.Config, k.configuration)
	}
}

func (n *Needs) atLeast(linux string) {
	if compareLinux(n.Linux, linux) < 0 {
		n.Linux = linux
	}
}

// OneDisk is what is needed to mount the image where the devices in its table follow it on one
// disk.
func (n Needs) OneDisk() Needs {
	if slices.Contains(n.Features, "device_table") {
		n.atLeast("6.4")
	}
	return n
}

// compareLinux compares two versions of two numbers.
func compareLinux(a, b string) int {
	number := func(v string) (n [2]int) {
		for i, word := range strings.SplitN(v, ".", 2) {
			n[i], _ = strconv.Atoi(word) // our own
		}
		return n
	}
	x, y := number(a), number(b)
	return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1]))
}
