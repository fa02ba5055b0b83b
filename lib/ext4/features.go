package ext4

import (
	"fmt"
	"strings"

	"ocipipe/lib/ext4/disk"
)

// Features are deviations from the default features: features that are left out or added.
// The zero value has the features that mke2fs 1.47 uses.
type Features uint32

// feature describes a bit of Features.
type feature struct {
	bit  Features
	name string
	off  bool // off by default
	root bool // a root file system needs it
	why  string
}

// Bits of Features, by the names of e2fsprogs.
const (
	bit64 Features = 1 << iota
	flexBG
	metadataCsum
	metadataCsumSeed
	resizeInode
	dirIndex
	hugeFile
	dirNlink
)

// features lists all features, in the order of FeatureNames.
var features = []feature{
	{bit: bit64, name: "64bit", why: "more than 16 TiB, checksums of 32 bits for bitmaps"},
	{bit: metadataCsum, name: "metadata_csum", why: "checksums; without it all bitmaps are written"},
	{bit: metadataCsumSeed, name: "metadata_csum_seed", off: true, why: "the UUID can be changed while mounted; Linux 4.4"},
	{bit: flexBG, name: "flex_bg", root: true, why: "metadata of 16 groups together"},
	{bit: resizeInode, name: "resize_inode", why: "room for descriptors when it grows"},
	{bit: dirIndex, name: "dir_index", why: "hashed directories"},
	{bit: hugeFile, name: "huge_file", why: "files of more than 2 TiB"},
	{bit: dirNlink, name: "dir_nlink", why: "more than 64998 directories in one"},
}

// has reports whether f has the feature.
func (f Features) has(bit Features) bool {
	for _, k := range features {
		if k.bit == bit {
			return (f&bit != 0) == k.off
		}
	}
	panic("no such feature")
}

// ParseFeatures reads a list in the form of mke2fs -O: "^64bit,metadata_csum_seed".
func ParseFeatures(list string) (f Features, err error) {
	for _, word := range strings.Split(list, ",") {
		if word == "" {
			continue
		}
		name, without := strings.CutPrefix(word, "^")
		i := 0
		for i < len(features) && features[i].name != name {
			i++
		}
		if i == len(features) {
			return 0, fmt.Errorf("unknown feature %q: there are %s", name, strings.Join(FeatureNames(), ", "))
		}
		if f &^= features[i].bit; without != features[i].off {
			f |= features[i].bit
		}
	}
	if f.has(metadataCsumSeed) && !f.has(metadataCsum) {
		return 0, fmt.Errorf("metadata_csum_seed needs metadata_csum")
	}
	return f, nil
}

// FeatureNames returns the names of the features that ParseFeatures knows.
func FeatureNames() []string {
	var names []string
	for _, k := range features {
		names = append(names, k.name)
	}
	return names
}

// words returns the feature words of the superblock.
func (f Features) words() (compat disk.CompatFlags, incompat disk.IncompatFlags, ro disk.RoCompatFlags) {
	compat = disk.CompatExtAttr
	incompat = disk.IncompatFiletype | disk.IncompatExtents
	ro = disk.RoCompatSparseSuper | disk.RoCompatLargeFile | disk.RoCompatExtraISize
	if f.has(resizeInode) {
		compat |= disk.CompatResizeInode
	}
	if f.has(dirIndex) {
		compat |= disk.CompatDirIndex
	}
	if f.has(bit64) {
		incompat |= disk.Incompat64Bit
	}
	if f.has(flexBG) {
		incompat |= disk.IncompatFlexBG
	}
	if f.has(metadataCsumSeed) {
		incompat |= disk.IncompatCsumSeed
	}
	if f.has(metadataCsum) {
		ro |= disk.RoCompatMetadataCsum
	}
	if f.has(hugeFile) {
		ro |= disk.RoCompatHugeFile
	}
	if f.has(dirNlink) {
		ro |= disk.RoCompatDirNlink
	}
	return compat, incompat, ro
}

// descSize is the length of a group descriptor in bytes.
func (f Features) descSize() uint32 {
	if f.has(bit64) {
		return disk.GroupDescSize
	}
	return disk.SmallGroupDescSize
}
