package disk

import (
	"fmt"
	"strings"
)

// CompatFlags are compatible features: a kernel that does not know one mounts the file
// system nevertheless; a checker refuses it.
type CompatFlags uint32

const (
	compatDirPrealloc  CompatFlags = 0x0001
	CompatJournal      CompatFlags = 0x0004
	CompatExtAttr      CompatFlags = 0x0008
	CompatResizeInode  CompatFlags = 0x0010
	CompatDirIndex     CompatFlags = 0x0020
	CompatSparseSuper2 CompatFlags = 0x0200 // refused: backups elsewhere
	CompatFastCommit   CompatFlags = 0x0400 // refused when growing: another form of journal
	compatStableInodes CompatFlags = 0x0800
	CompatOrphanFile   CompatFlags = 0x1000 // Linux 5.15

	CompatKnown = compatDirPrealloc | CompatJournal | CompatExtAttr | CompatResizeInode | CompatDirIndex |
		compatStableInodes | CompatOrphanFile
)

// IncompatFlags are incompatible features: a kernel that does not know one refuses to mount
// the file system.
type IncompatFlags uint32

const (
	incompatCompression IncompatFlags = 0x0001 // refused: never was in a kernel
	IncompatFiletype    IncompatFlags = 0x0002
	IncompatRecover     IncompatFlags = 0x0004 // the journal is not empty
	IncompatJournalDev  IncompatFlags = 0x0008 // refused: a journal, not a file system
	IncompatMetaBG      IncompatFlags = 0x0010 // refused when growing: descriptors elsewhere
	IncompatExtents     IncompatFlags = 0x0040
	Incompat64Bit       IncompatFlags = 0x0080
	IncompatMMP         IncompatFlags = 0x0100 // refused when growing: may be mounted elsewhere
	IncompatFlexBG      IncompatFlags = 0x0200
	IncompatEAInode     IncompatFlags = 0x0400
	incompatDirData     IncompatFlags = 0x1000 // refused
	IncompatCsumSeed    IncompatFlags = 0x2000 // metadata_csum_seed
	IncompatLargeDir    IncompatFlags = 0x4000
	IncompatInlineData  IncompatFlags = 0x8000
	IncompatEncrypt     IncompatFlags = 0x10000 // refused
	IncompatCasefold    IncompatFlags = 0x20000 // refused

	IncompatKnown = IncompatFiletype | IncompatRecover | IncompatExtents | Incompat64Bit | IncompatFlexBG | IncompatCsumSeed
)

// RoCompatFlags are read-only compatible features: a kernel that does not know one mounts
// the file system only for reading.
type RoCompatFlags uint32

const (
	RoCompatSparseSuper  RoCompatFlags = 0x0001
	RoCompatLargeFile    RoCompatFlags = 0x0002
	roCompatBtreeDir     RoCompatFlags = 0x0004 // never was used
	RoCompatHugeFile     RoCompatFlags = 0x0008
	RoCompatGdtCsum      RoCompatFlags = 0x0010 // older than, and in place of, metadata_csum
	RoCompatDirNlink     RoCompatFlags = 0x0020
	RoCompatExtraISize   RoCompatFlags = 0x0040
	RoCompatQuota        RoCompatFlags = 0x0100
	RoCompatBigalloc     RoCompatFlags = 0x0200 // refused: blocks come in clusters
	RoCompatMetadataCsum RoCompatFlags = 0x0400
	roCompatReadonly     RoCompatFlags = 0x1000
	RoCompatProject      RoCompatFlags = 0x2000
	RoCompatSharedBlocks RoCompatFlags = 0x4000 // Android: files may share blocks
	RoCompatVerity       RoCompatFlags = 0x8000
	RoCompatOrphans      RoCompatFlags = 0x10000 // orphan_present: the orphan file is not empty

	RoCompatKnown = RoCompatSparseSuper | RoCompatLargeFile | RoCompatHugeFile | RoCompatDirNlink |
		RoCompatExtraISize | RoCompatMetadataCsum | RoCompatOrphans
)

// named is a feature.
type named[F ~uint32] struct {
	flag F
	name string
}

// incompatNames are the features as mke2fs and dumpe2fs call them.
var incompatNames = []named[IncompatFlags]{
	{incompatCompression, "compression"}, {IncompatFiletype, "filetype"}, {IncompatRecover, "needs_recovery"},
	{IncompatJournalDev, "journal_dev"}, {IncompatMetaBG, "meta_bg"}, {IncompatExtents, "extent"}, {Incompat64Bit, "64bit"},
	{IncompatMMP, "mmp"}, {IncompatFlexBG, "flex_bg"}, {IncompatEAInode, "ea_inode"}, {incompatDirData, "dirdata"},
	{IncompatCsumSeed, "metadata_csum_seed"}, {IncompatLargeDir, "large_dir"}, {IncompatInlineData, "inline_data"},
	{IncompatEncrypt, "encrypt"}, {IncompatCasefold, "casefold"},
}

// roCompatNames are the same of the others that a kernel has to know.
var roCompatNames = []named[RoCompatFlags]{
	{RoCompatSparseSuper, "sparse_super"}, {RoCompatLargeFile, "large_file"}, {roCompatBtreeDir, "btree_dir"}, {RoCompatHugeFile, "huge_file"},
	{RoCompatGdtCsum, "uninit_bg"}, {RoCompatDirNlink, "dir_nlink"}, {RoCompatExtraISize, "extra_isize"}, {RoCompatQuota, "quota"},
	{RoCompatBigalloc, "bigalloc"}, {RoCompatMetadataCsum, "metadata_csum"}, {roCompatReadonly, "read-only"}, {RoCompatProject, "project"},
	{RoCompatSharedBlocks, "shared_blocks"}, {RoCompatVerity, "verity"}, {RoCompatOrphans, "orphan_present"},
}

// String lists the features, as mke2fs and dumpe2fs call them.
func (f IncompatFlags) String() string { return strings.Join(f.names(), ", ") }

func (f IncompatFlags) names() []string { return namesOf(f, incompatNames, "feature") }

func (f RoCompatFlags) names() []string { return namesOf(f, roCompatNames, "read-only feature") }

// namesOf returns the names of the features in f. What known does not have is called unknown, with
// its bits.
func namesOf[F ~uint32](f F, known []named[F], unknown string) (names []string) {
	for _, n := range known {
		if f&n.flag != 0 {
			names = append(names, n.name)
			f &^= n.flag
		}
	}
	if f != 0 {
		names = append(names, fmt.Sprintf("%s %#x", unknown, uint32(f)))
	}
	return names
}
