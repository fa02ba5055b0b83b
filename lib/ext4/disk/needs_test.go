package disk

import (
	"strings"
	"testing"
)

func TestNeeds(t *testing.T) {
	const usual = IncompatFiletype | IncompatExtents
	for _, c := range []struct {
		super    Superblock
		linux    string
		features string
	}{
		{Superblock{}, "4.0", ""},
		{Superblock{Compat: CompatJournal, Incompat: usual, RoCompat: RoCompatSparseSuper}, "4.0", "filetype extent sparse_super"},
		{Superblock{Incompat: usual | Incompat64Bit | IncompatFlexBG, RoCompat: RoCompatHugeFile | RoCompatDirNlink | RoCompatExtraISize | RoCompatLargeFile | RoCompatMetadataCsum},
			"4.0", "filetype extent 64bit flex_bg large_file huge_file dir_nlink extra_isize metadata_csum"},
		{Superblock{Incompat: usual | IncompatCsumSeed}, "4.4", "filetype extent metadata_csum_seed"},
		{Superblock{Incompat: usual | IncompatEncrypt}, "4.1", "filetype extent encrypt"},
		{Superblock{Incompat: IncompatCsumSeed, RoCompat: RoCompatProject}, "4.5", "metadata_csum_seed project"},
		{Superblock{Incompat: IncompatLargeDir | IncompatCsumSeed}, "4.13", "metadata_csum_seed large_dir"},
		{Superblock{Incompat: IncompatEAInode}, "4.13", "ea_inode"},
		{Superblock{Incompat: IncompatCasefold}, "5.2", "casefold"},
		{Superblock{RoCompat: RoCompatVerity}, "5.4", "verity"},
		{Superblock{Incompat: IncompatLargeDir, RoCompat: RoCompatOrphans}, "5.15", "large_dir orphan_present"},
		{Superblock{Incompat: 1 << 30, RoCompat: 1 << 29}, "4.0", "feature 0x40000000 read-only feature 0x20000000"},
	} {
		n := c.super.Needs()
		if n.Linux != c.linux || strings.Join(n.Features, " ") != c.features || len(n.Config) != 1 || n.Config[0] != "EXT4_FS" {
			t.Errorf("%v: %+v", c.super.Incompat, n)
		}
	}
}
