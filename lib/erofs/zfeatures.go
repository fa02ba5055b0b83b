package erofs

import (
	"fmt"
	"math/bits"
	"strings"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/z"
)

// compressedFiles are the compressed files of an image.
type compressedFiles interface {
	features() *zFeatures

	// fullSize is the length in bytes of the inode of it and everything that follows it.
	// Inodes begin at multiples of 32 bytes, so the place of it does not matter.
	fullSize(it *item) int64

	// blocks is how many blocks the data of it takes.
	blocks(it *item) uint32

	// writeIndex calls put with the pieces of what follows the inode of it and its xattrs,
	// which end at off: the header, where it is aligned, and the list of extents.
	writeIndex(it *item, off int64, put func(b []byte) error) error
}

// zFeatures are what the superblock has to say about the compressed files of an image.
type zFeatures struct {
	used    bool     // there are some
	config  z.Config // of the algorithms that they have
	big     bool     // a cluster has several blocks
	exact   bool     // the extents are encoded, and need no whole blocks
	partial bool     // an extent is a part of a cluster
}

func (f *zFeatures) features() *zFeatures { return f }

// clusterBlocks is in how many blocks of bs bytes a cluster of n bytes can be, which begins
// anywhere in a block if exact; or the most that can be said: more than that are short, and Linux
// makes room for as many pages.
func clusterBlocks(n, bs int64, exact bool) uint16 {
	if exact {
		n += bs - 1
	}
	return uint16(min(disk.Blocks(n, bs), z.MaxPClusterBlocks(bs)))
}

// configSize is the length in bytes of the records about the algorithms.
func (f *zFeatures) configSize() int64 {
	if !f.needsConfig() {
		return 0
	}
	return int64(len(f.config.Append(nil)))
}

// needsConfig reports whether there are such records: not if all is LZ4 in single blocks, which
// the first version of the format had.
func (f *zFeatures) needsConfig() bool {
	return f.used && (f.exact || f.big || f.config.Algorithms&^(1<<z.LZ4) != 0)
}

// describe describes the compression in the superblock and in records, b being what follows
// it.
func (f *zFeatures) describe(super *disk.Superblock, b []byte) {
	if !f.used {
		return
	}
	super.Incompat |= disk.IncompatLZ4
	if f.partial {
		super.Incompat |= disk.IncompatFragments
	}
	if !f.needsConfig() {
		super.Algorithms = f.config.Distance
		return
	}
	super.Incompat |= disk.IncompatCompression
	super.Algorithms = f.config.Algorithms
	copy(b, f.config.Append(nil))
	if f.exact {
		super.Incompat |= disk.Incompat48Bit
	}
}

// needs says what a kernel needs to mount the image with blocks of bs bytes, and to read its
// files, unless any since disk.OldestLinux with CONFIG_EROFS_FS_ZIP can do that.
func (f *zFeatures) needs(bs int64) string {
	if !f.used {
		return ""
	}
	super := disk.Superblock{BlockBits: uint8(bits.TrailingZeros64(uint64(bs)))}
	f.describe(&super, make([]byte, z.MaxConfigSize))
	n := super.Needs()
	if n.Linux == disk.OldestLinux {
		return ""
	}
	options := n.Config[1:] // without that of EROFS
	if len(options) > 1 {
		options = options[1:] // the others need that of compression
	}
	return fmt.Sprintf("only Linux %s and later can mount the image, with CONFIG_%s", n.Linux, strings.Join(options, " and CONFIG_"))
}
