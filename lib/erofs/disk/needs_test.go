package disk

import (
	"fmt"
	"testing"
)

func TestNeeds(t *testing.T) {
	const zip = "EROFS_FS EROFS_FS_ZIP"
	for _, c := range []struct {
		name      string
		super     Superblock
		linux     string
		config    string
		features  string
		onOneDisk string
	}{
		{"plain", Superblock{BlockBits: 12}, "5.15", "EROFS_FS", "", "5.15"},
		{"sparse files", Superblock{BlockBits: 12, Incompat: IncompatChunked}, "5.15", "EROFS_FS", "chunked_file", "5.15"},
		{"blocks of 2048", Superblock{BlockBits: 11}, "6.4", "EROFS_FS", "subpage_blocks", "6.4"},
		{"blocks of 16384", Superblock{BlockBits: 14}, "5.15", "EROFS_FS", "large_blocks", "5.15"},
		{"fsmeta", Superblock{BlockBits: 12, Incompat: IncompatDevices | IncompatChunked, ExtraDevices: 2}, "5.16", "EROFS_FS", "chunked_file device_table", "6.4"},
		{"fsmeta of zstd", Superblock{BlockBits: 12, Incompat: IncompatDevices | IncompatLZ4 | IncompatCompression, Algorithms: hasZstd}, "6.10", zip + " EROFS_FS_ZIP_ZSTD", "device_table lz4_0padding compr_cfgs zstd", "6.10"},
		{"lz4, its distance in place of algorithms", Superblock{BlockBits: 12, Incompat: IncompatLZ4, Algorithms: 0xffff}, "5.15", zip, "lz4_0padding", "5.15"},
		{"lz4", Superblock{BlockBits: 12, Incompat: IncompatLZ4 | IncompatCompression, Algorithms: hasLZ4}, "5.15", zip, "lz4_0padding compr_cfgs", "5.15"},
		{"lz4, blocks of 512", Superblock{BlockBits: 9, Incompat: IncompatLZ4, Algorithms: 0xffff}, "6.8", zip, "subpage_blocks lz4_0padding", "6.8"},
		{"lzma", Superblock{BlockBits: 12, Incompat: IncompatLZ4 | IncompatCompression, Algorithms: hasLZMA}, "5.16", zip + " EROFS_FS_ZIP_LZMA", "lz4_0padding compr_cfgs lzma", "5.16"},
		{"deflate", Superblock{BlockBits: 12, Incompat: IncompatLZ4 | IncompatCompression, Algorithms: hasDeflate}, "6.6", zip + " EROFS_FS_ZIP_DEFLATE", "lz4_0padding compr_cfgs deflate", "6.6"},
		{"deflate, blocks of 1024", Superblock{BlockBits: 10, Incompat: IncompatLZ4 | IncompatCompression, Algorithms: hasDeflate}, "6.8", zip + " EROFS_FS_ZIP_DEFLATE", "subpage_blocks lz4_0padding compr_cfgs deflate", "6.8"},
		{"all", Superblock{BlockBits: 12, Incompat: IncompatLZ4 | IncompatCompression, Algorithms: hasLZ4 | hasDeflate | hasZstd}, "6.10", zip + " EROFS_FS_ZIP_DEFLATE EROFS_FS_ZIP_ZSTD", "lz4_0padding compr_cfgs deflate zstd", "6.10"},
		{"parts of clusters", Superblock{BlockBits: 12, Incompat: IncompatLZ4 | IncompatFragments}, "6.1", zip, "lz4_0padding fragments", "6.1"},
		{"tails", Superblock{BlockBits: 12, Incompat: IncompatLZ4 | IncompatTailPacking}, "5.17", zip, "lz4_0padding ztailpacking", "5.17"},
		{"prefixes", Superblock{BlockBits: 12, Incompat: IncompatPrefixes}, "6.4", "EROFS_FS", "xattr_prefixes", "6.4"},
		{"encoded extents", Superblock{BlockBits: 12, Incompat: IncompatLZ4 | IncompatCompression | Incompat48Bit, Algorithms: hasZstd}, "6.15", zip + " EROFS_FS_ZIP_ZSTD", "lz4_0padding compr_cfgs zstd 48bit", "6.15"},
		{"metadata that is compressed", Superblock{BlockBits: 12, Incompat: IncompatMetabox}, "6.17", "EROFS_FS", "metabox", "6.17"},
	} {
		n := c.super.Needs()
		if n.Linux != c.linux || fmt.Sprint(n.Config) != "["+c.config+"]" || fmt.Sprint(n.Features) != "["+c.features+"]" || n.OneDisk().Linux != c.onOneDisk {
			t.Errorf("%s: %+v, on one disk %s", c.name, n, n.OneDisk().Linux)
		}
	}
}

func TestCompareLinux(t *testing.T) {
	for i, v := range []string{"5.15", "5.16", "6.1", "6.4", "6.10", "10.0"} {
		for j, w := range []string{"5.15", "5.16", "6.1", "6.4", "6.10", "10.0"} {
			if got := compareLinux(v, w); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s to %s: %d", v, w, got)
			}
		}
	}
}
