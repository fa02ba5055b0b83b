package ext4

import (
	"fmt"
	"strings"
)

// incompatNames are the features as mke2fs and dumpe2fs call them.
var incompatNames = []struct {
	flag incompatFlags
	name string
}{
	{incompatCompression, "compression"}, {incompatFiletype, "filetype"}, {incompatRecover, "needs_recovery"},
	{incompatJournalDev, "journal_dev"}, {incompatMetaBG, "meta_bg"}, {incompatExtents, "extent"}, {incompat64Bit, "64bit"},
	{incompatMMP, "mmp"}, {incompatFlexBG, "flex_bg"}, {incompatEAInode, "ea_inode"}, {incompatDirData, "dirdata"},
	{incompatCsumSeed, "metadata_csum_seed"}, {incompatLargeDir, "large_dir"}, {incompatInlineData, "inline_data"},
	{incompatEncrypt, "encrypt"}, {incompatCasefold, "casefold"},
}

func (f incompatFlags) String() string {
	var names []string
	for _, n := range incompatNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
			f &^= n.flag
		}
	}
	if f != 0 {
		names = append(names, fmt.Sprintf("feature %#x", uint32(f)))
	}
	return strings.Join(names, ", ")
}

// compatFlags are compatible features: a kernel that does not know one mounts
// all the same; a checker does not go on.
type compatFlags uint32

const (
	compatDirPrealloc  compatFlags = 0x0001
	compatJournal      compatFlags = 0x0004
	compatExtAttr      compatFlags = 0x0008
	compatResizeInode  compatFlags = 0x0010
	compatDirIndex     compatFlags = 0x0020
	compatSparseSuper2 compatFlags = 0x0200 // refused: backups elsewhere
	compatFastCommit   compatFlags = 0x0400 // refused when growing: another form of journal
	compatStableInodes compatFlags = 0x0800
	compatOrphanFile   compatFlags = 0x1000 // Linux 5.15

	compatKnown = compatDirPrealloc | compatJournal | compatExtAttr | compatResizeInode | compatDirIndex |
		compatStableInodes | compatOrphanFile
)

// incompatFlags are incompatible features: an unknown one refuses the mount.
type incompatFlags uint32

const (
	incompatCompression incompatFlags = 0x0001 // refused: never was in a kernel
	incompatFiletype    incompatFlags = 0x0002
	incompatRecover     incompatFlags = 0x0004 // the journal is not empty
	incompatJournalDev  incompatFlags = 0x0008 // refused: a journal and no file system
	incompatMetaBG      incompatFlags = 0x0010 // refused: descriptors elsewhere
	incompatExtents     incompatFlags = 0x0040
	incompat64Bit       incompatFlags = 0x0080
	incompatMMP         incompatFlags = 0x0100 // refused: may be mounted elsewhere
	incompatFlexBG      incompatFlags = 0x0200
	incompatEAInode     incompatFlags = 0x0400
	incompatDirData     incompatFlags = 0x1000 // refused
	incompatCsumSeed    incompatFlags = 0x2000 // metadata_csum_seed
	incompatLargeDir    incompatFlags = 0x4000
	incompatInlineData  incompatFlags = 0x8000
	incompatEncrypt     incompatFlags = 0x10000 // refused
	incompatCasefold    incompatFlags = 0x20000 // refused

	incompatKnown = incompatFiletype | incompatRecover | incompatExtents | incompat64Bit | incompatFlexBG | incompatCsumSeed
)

// roCompatFlags are features that a kernel that does not know them can only
// read.
type roCompatFlags uint32

const (
	roCompatSparseSuper  roCompatFlags = 0x0001
	roCompatLargeFile    roCompatFlags = 0x0002
	roCompatBtreeDir     roCompatFlags = 0x0004 // never was used
	roCompatHugeFile     roCompatFlags = 0x0008
	roCompatGdtCsum      roCompatFlags = 0x0010 // older than, and in place of, metadata_csum
	roCompatDirNlink     roCompatFlags = 0x0020
	roCompatExtraISize   roCompatFlags = 0x0040
	roCompatQuota        roCompatFlags = 0x0100
	roCompatBigalloc     roCompatFlags = 0x0200 // refused: blocks come in clusters
	roCompatMetadataCsum roCompatFlags = 0x0400
	roCompatReadonly     roCompatFlags = 0x1000
	roCompatProject      roCompatFlags = 0x2000
	roCompatSharedBlocks roCompatFlags = 0x4000 // Android: one block for equal contents
	roCompatVerity       roCompatFlags = 0x8000
	roCompatOrphans      roCompatFlags = 0x10000 // orphan_present: the orphan file is not empty

	roCompatKnown = roCompatSparseSuper | roCompatLargeFile | roCompatHugeFile | roCompatDirNlink |
		roCompatExtraISize | roCompatMetadataCsum | roCompatOrphans
)
