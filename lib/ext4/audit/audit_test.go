package audit_test

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/ext4/volume"
)

// patient is an image in which something is changed, and changed back.
type patient struct {
	t    *testing.T
	file *os.File
	img  *read.Image
	undo []func()
}

// newPatient is an image of mke2fs with two groups, a journal, and one of each kind
// of inode.
func newPatient(t *testing.T) *patient {
	t.Helper()
	name := ext4test.Mke2fs(t, 300<<20, "-E", "lazy_itable_init=0,nodiscard", "-O", "orphan_file")
	ext4test.WriteMounted(t, name, func(dir string) { ext4test.Populate(t, dir) })
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	p := &patient{t: t, file: f}
	p.reopen()
	probetest.Fsck(t, name)
	return p
}

func (p *patient) reopen() {
	p.t.Helper()
	fi, err := p.file.Stat()
	if err != nil {
		p.t.Fatal(err)
	}
	if p.img, err = read.Open(p.file, fi.Size()); err != nil {
		p.t.Fatal(err)
	}
}

// audit opens and audits the image as it is now.
func (p *patient) audit() error { return probetest.Audit(p.file) }

// edit changes n bytes at off, until restore.
func (p *patient) edit(off int64, n int, fn func(b []byte)) {
	p.t.Helper()
	b := make([]byte, n)
	if _, err := p.file.ReadAt(b, off); err != nil {
		p.t.Fatal(err)
	}
	old := slices.Clone(b)
	p.undo = append(p.undo, func() { p.file.WriteAt(old, off) })
	fn(b)
	if _, err := p.file.WriteAt(b, off); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) restore() {
	for _, fn := range slices.Backward(p.undo) {
		fn()
	}
	p.undo = nil
}

// super, group, inode and block change one of these and its checksum.
func (p *patient) super(fn func(s *disk.Superblock)) {
	p.edit(disk.SuperOffset, disk.SuperSize, func(b []byte) {
		s := p.img.Volume().Super
		fn(&s)
		s.Seal(b)
	})
}

func (p *patient) group(g uint64, fn func(d *disk.GroupDesc)) {
	p.edit(p.img.Volume().Super.DescOffset(g), disk.GroupDescSize, func(b []byte) {
		var d disk.GroupDesc
		d.Decode(b)
		fn(&d)
		d.Encode(b)
		p.img.Volume().Seed.SealGroup(uint32(g), b)
	})
}

func (p *patient) find(path string) *volume.Inode {
	p.t.Helper()
	ino := probetest.Inode(p.t, p.img, path)
	return ino
}

func (p *patient) number(n uint32) *volume.Inode {
	p.t.Helper()
	ino, err := p.img.Volume().ReadInode(n)
	if err != nil {
		p.t.Fatal(err)
	}
	return ino
}

func (p *patient) inode(ino *volume.Inode, fn func(ino *disk.Inode)) {
	p.edit(ino.Off, len(ino.Raw), func(b []byte) {
		fn(&ino.Inode)
		ino.Encode(b)
		ino.Sum.Seal(b)
	})
}

// dir changes block i of a directory; leaf says that it is none of an index.
func (p *patient) dir(path string, i int, leaf bool, fn func(b []byte)) {
	ino := p.find(path)
	_, c, err := p.img.Volume().ReadDir(ino, p.parent(path), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	var stored int64
	for _, r := range c.Runs {
		if off := int64(i) * disk.BlockSize; off >= r.Offset(disk.BlockSize) && off < r.Offset(disk.BlockSize)+r.Bytes(disk.BlockSize, c.Size) {
			stored = r.DiskOffset(disk.BlockSize) + off - r.Offset(disk.BlockSize)
		}
	}
	p.edit(stored, disk.BlockSize, func(b []byte) {
		fn(b)
		if table := disk.HtreeTable(b); !leaf && table > 0 {
			count := int(binary.LittleEndian.Uint16(b[table+2:]))
			binary.LittleEndian.PutUint32(b[disk.HtreeSumOffset:], ino.Sum.Htree(b, table, count))
		} else if leaf {
			binary.LittleEndian.PutUint32(b[disk.DirTailOffset+disk.DirentHeadSize:], ino.Sum.DirLeaf(b))
		}
	})
}

func (p *patient) parent(path string) uint32 {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return p.find(path[:i]).Number
	}
	return disk.RootIno
}

// extents changes the first node of the tree of path that is a block.
func (p *patient) extents(path string, seal bool, fn func(b []byte)) {
	ino := p.find(path)
	var x disk.ExtentIndex
	x.Decode(ino.Block[disk.ExtentHeadSize:])
	p.edit(int64(x.Child)*disk.BlockSize, disk.BlockSize, func(b []byte) {
		fn(b)
		if seal {
			binary.LittleEndian.PutUint32(b[disk.ExtentSumOffset:], ino.Sum.ExtentBlock(b))
		}
	})
}

// Everything that e2fsck notices is noticed, and the other way round but for what
// the table says.
func TestInteropAudit(t *testing.T) {
	p := newPatient(t)
	s := &p.img.Volume().Super
	var d, last disk.GroupDesc
	lastGroup := s.Groups() - 1
	if err := errors.Join(p.img.Volume().ReadGroup(&d, 0), p.img.Volume().ReadGroup(&last, lastGroup)); err != nil {
		t.Fatal(err)
	}
	blockAt := func(n uint64) int64 { return int64(n) * disk.BlockSize }
	flip := func(b []byte) { b[0] ^= 1 }
	for _, c := range []struct {
		name  string
		harm  func()
		err   string
		quiet bool // e2fsck has nothing to say
	}{
		{"superblock checksum", func() { p.edit(disk.SuperOffset+disk.SuperSumOffset, 1, flip) }, "superblock has checksum", false},
		{"inodes", func() { p.super(func(s *disk.Superblock) { s.Inodes-- }) }, "inodes in", false},
		{"free blocks", func() { p.super(func(s *disk.Superblock) { s.FreeBlocksLo++ }) }, "free blocks, there are", false},
		{"free inodes", func() { p.super(func(s *disk.Superblock) { s.FreeInodes-- }) }, "free inodes, there are", false},
		{"blocks", func() { p.super(func(s *disk.Superblock) { s.BlocksLo += 8 }) }, "cut short", false},
		{"state", func() { p.super(func(s *disk.Superblock) { s.State = disk.StateClean | disk.StateErrors }) }, "damaged", true},
		{"checksum type", func() { p.super(func(s *disk.Superblock) { s.ChecksumType = 2 }) }, "checksums of type 2", false},
		{"descriptor size", func() { p.super(func(s *disk.Superblock) { s.DescSize = 48 }) }, "group descriptors of 48 bytes", false},
		{"first inode", func() { p.super(func(s *disk.Superblock) { s.FirstIno = 5 }) }, "first inode", false},
		{"reserved without resize_inode", func() { p.super(func(s *disk.Superblock) { s.Compat &^= disk.CompatResizeInode }) }, "without resize_inode", false},
		{"overhead", func() { p.super(func(s *disk.Superblock) { s.Overhead++ }) }, "blocks of metadata", true},
		{"orphan list", func() { p.super(func(s *disk.Superblock) { s.LastOrphan = 15 }) }, "to be deleted", true},
		{"journal's backup", func() { p.super(func(s *disk.Superblock) { s.JnlBlocks[3]++ }) }, "copy of its inode", true},
		{"errors", func() { p.super(func(s *disk.Superblock) { s.ErrorCount = 3 }) }, "errors were noted", true},

		{"descriptor checksum", func() { p.edit(s.DescOffset(0)+disk.GroupSumOffset, 1, flip) }, "descriptor of group 0", false},
		{"last descriptor's checksum", func() { p.edit(s.DescOffset(lastGroup)+disk.GroupSumOffset, 1, flip) }, "descriptor of group", false},
		{"group's free blocks", func() { p.group(0, func(d *disk.GroupDesc) { d.FreeBlocks++ }) }, "free blocks, has", false},
		{"group's free inodes", func() { p.group(0, func(d *disk.GroupDesc) { d.FreeInodes++ }) }, "free inodes, has", false},
		{"group's directories", func() { p.group(0, func(d *disk.GroupDesc) { d.Dirs-- }) }, "directories, has", false},
		{"last group without bitmap", func() { p.group(lastGroup, func(d *disk.GroupDesc) { d.Flags |= disk.BlockUninit }) }, "bitmaps must be there", false},
		{"inodes hidden", func() { p.group(0, func(d *disk.GroupDesc) { d.Unused = s.InodesPerGroup - 20 }) }, "never used", false},
		{"group without inodes", func() {
			p.group(0, func(d *disk.GroupDesc) { d.Flags |= disk.InodeUninit; d.Unused = s.InodesPerGroup })
		}, "never used", false},
		{"place of a bitmap", func() { p.group(0, func(d *disk.GroupDesc) { d.BlockBitmap = 1 << 40 }) }, "bitmaps and table at", false},
		{"bitmap in the table", func() { p.group(0, func(d *disk.GroupDesc) { d.BlockBitmap = d.InodeTable }) }, "more than one", false},

		{"block marked", func() { p.edit(blockAt(last.BlockBitmap)+100, 1, flip) }, "bits are", false},
		{"block not marked", func() { p.edit(blockAt(d.BlockBitmap), 1, flip) }, "bits are 11111110", false},
		{"padding of a block bitmap", func() { p.edit(blockAt(last.BlockBitmap)+4095, 1, flip) }, "bits are", false},
		{"block bitmap's checksum", func() { p.group(0, func(d *disk.GroupDesc) { d.BlockBitmapSum ^= 1 }) }, "checksum is", false},
		{"inode bitmap's checksum", func() { p.group(0, func(d *disk.GroupDesc) { d.InodeBitmapSum ^= 1 }) }, "checksum is", false},
		{"inode not marked", func() { p.edit(blockAt(d.InodeBitmap)+1, 1, func(b []byte) { b[0] &^= 8 }) }, "bits are", false},
		{"padding of an inode bitmap", func() { p.edit(blockAt(d.InodeBitmap)+4095, 1, flip) }, "bits are", false},

		{"root's checksum", func() { p.edit(p.number(disk.RootIno).Off+disk.InodeSumLo, 1, flip) }, "root: byte", false},
		{"inode's checksum", func() { p.edit(p.find("file1").Off+disk.InodeSumHi, 1, flip) }, "has checksum", false},
		{"mode", func() { p.inode(p.find("file1"), func(n *disk.Inode) { n.Mode &= disk.ModePerm }) }, "has mode", false},
		{"links", func() { p.inode(p.find("file1"), func(n *disk.Inode) { n.Links++ }) }, "3 names, counts 4", false},
		{"one link of three", func() { p.inode(p.find("file1"), func(n *disk.Inode) { n.Links = 1 }) }, "a second name", false},
		{"no links", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Links = 0 }) }, "not in use", false},
		{"directory's links", func() { p.inode(p.find("sub"), func(n *disk.Inode) { n.Links++ }) }, "has 3 links, counts 4", false},
		{"i_blocks", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Blocks += 8 }) }, "i_blocks", false},
		{"i_blocks of a device", func() { p.inode(p.find("null"), func(n *disk.Inode) { n.Blocks += 8 }) }, "i_blocks", false},
		{"short size", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Size = 1 }) }, "data up to block 2", false},
		{"dtime", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Dtime = 7 }) }, "was deleted", false},
		{"nanoseconds", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Mtime.Extra = 1e9 << 2 }) }, "1000000000 nanoseconds", true},
		{"extra size", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.ExtraISize = 34 }) }, "34 extra bytes", false},
		{"fast link with extents", func() { p.inode(p.find("sym"), func(n *disk.Inode) { n.Flags |= disk.FlagExtents }) }, "magic number", false},
		{"length of a fast link", func() { p.inode(p.find("sym"), func(n *disk.Inode) { n.Size++ }) }, "link target of 6 bytes has 5", false},
		{"length of a slow link", func() { p.inode(p.find("sym60"), func(n *disk.Inode) { n.Size++ }) }, "link target of 61 bytes has 60", false},
		{"device with extents", func() { p.inode(p.find("null"), func(n *disk.Inode) { n.Flags |= disk.FlagExtents }) }, "has data", false},
		{"fifo with a size", func() { p.inode(p.find("fifo"), func(n *disk.Inode) { n.Size = 1 }) }, "has data", false},
		{"index on a file", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Flags |= disk.FlagIndex }) }, "has an index", false},
		{"block map", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Flags &^= disk.FlagExtents }) }, "inode 17 at byte", false},
		{"xattrs in an inode", func() {
			p.edit(p.find("file1").Off+disk.InodeFixedSize+disk.XattrMagicSize, 1, func(b []byte) { b[0] = 200 })
		}, "has checksum", false},
		{"inode without a name", func() {
			p.inode(p.find("file0"), func(n *disk.Inode) {}) // the same again
			ino := p.find("sub/empty")
			p.dir("sub", 0, true, func(b []byte) { cutEntry(b, ino.Number) })
		}, "has 2 links, counts 3", false},
		{"file without a name", func() {
			ino := p.find("fifo")
			p.dir(".", 0, true, func(b []byte) { cutEntry(b, ino.Number) })
		}, "no directory has it", false},

		{"extents' magic", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Block[0]++ }) }, "magic number", false},
		{"extents' depth", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Block[6] = 9 }) }, "depth 9", false},
		{"extent beyond the end", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Block[18] = 1 }) }, "of 76800", false},
		{"extent of length 0", func() { p.inode(p.find("file4097"), func(n *disk.Inode) { n.Block[16] = 0 }) }, "extent of 0 blocks", false},
		{"shared block", func() {
			other := p.find("file1").Block
			p.inode(p.find("file4097"), func(n *disk.Inode) { copy(n.Block[20:24], other[20:24]) })
		}, "more than one", false},
		{"block of the inode table", func() {
			p.inode(p.find("file4097"), func(n *disk.Inode) { binary.LittleEndian.PutUint32(n.Block[20:], uint32(d.InodeTable)) })
		}, "more than one", false},
		{"extent block's checksum", func() { p.extents("sparse", false, func(b []byte) { b[disk.ExtentSumOffset]++ }) }, "wrong checksum", false},
		{"order of extents", func() { p.extents("sparse", true, func(b []byte) { b[disk.ExtentHeadSize+disk.ExtentSize] = 0 }) }, "extent of 1 blocks at block 0", false},
		{"first extent in a block", func() { p.extents("sparse", true, func(b []byte) { b[0]++ }) }, "magic number", false},

		{"directory block's checksum", func() { p.dir("sub", 0, false, func(b []byte) { b[disk.DirTailOffset+disk.DirentHeadSize]++ }) }, "wrong checksum", false},
		{"tail", func() { p.dir("sub", 0, false, func(b []byte) { b[disk.DirTailOffset+7] = 0 }) }, "without a checksum", false},
		{"kind of a directory's name", func() { p.dir("sub", 0, true, func(b []byte) { b[2*disk.DotSize+7] = disk.KindFifo }) }, "has 2 links", false},
		{"kind of a name", func() { p.dir("sub", 0, true, func(b []byte) { b[2*disk.DotSize+16+7] = disk.KindFifo }) }, "its name says 5", false},
		{"no kind", func() { p.dir("sub", 0, true, func(b []byte) { b[2*disk.DotSize+7] = 0 }) }, "does not say what", true},
		{"length of an entry", func() { p.dir("sub", 0, true, func(b []byte) { b[2*disk.DotSize+4] = 10 }) }, "directory entry of 10 bytes", false},
		{"length of a name", func() { p.dir("sub", 0, true, func(b []byte) { b[2*disk.DotSize+6] = 200 }) }, "directory entry", false},
		{"slash", func() { p.dir("sub", 0, true, func(b []byte) { b[2*disk.DotSize+8] = '/' }) }, "directory entry", false},
		{"dot", func() { p.dir("sub", 0, true, func(b []byte) { b[0]++ }) }, "begin with itself", false},
		{"dots", func() { p.dir("sub", 0, true, func(b []byte) { b[disk.DotSize]++ }) }, "begin with itself", false},
		{"inode that is not", func() { p.dir("sub", 0, true, func(b []byte) { b[2*disk.DotSize+2] = 255 }) }, "inode 16711", false},
		{"name of a special inode", func() { p.dir("sub", 0, true, func(b []byte) { copy(b[2*disk.DotSize:], []byte{7, 0, 0, 0}) }) }, "has no name", false},
		{"size of a directory", func() { p.inode(p.find("sub"), func(n *disk.Inode) { n.Size = 8192 }) }, "8192 bytes, or holes", false},
		{"index", func() { p.dir("many", 0, false, func(b []byte) { b[disk.HtreeRootTable+disk.HtreeEntrySize+3]++ }) }, "has hash", false},
		{"index's limit", func() { p.dir("many", 0, false, func(b []byte) { b[disk.HtreeRootTable]++ }) }, "should have room for", false},
		{"index's block", func() { p.dir("many", 0, false, func(b []byte) { b[disk.HtreeRootTable+disk.HtreeEntrySize+4]++ }) }, "many: directory", false},
		{"index's hash version", func() { p.dir("many", 0, false, func(b []byte) { b[disk.HtreeInfoOffset+4] = 9 }) }, "with hash 9", false},
		{"index's checksum", func() { p.dir("many", 0, true, func(b []byte) { b[disk.HtreeSumOffset]++ }) }, "wrong checksum", false},

		{"xattr block's checksum", func() { p.edit(blockAt(p.find("file4096").FileACL)+disk.XattrSumOffset, 1, flip) }, "has checksum", false},
		{"xattr block's users", func() { p.xattrs("file4096", func(b []byte) { b[4]++ }) }, "users", false},
		{"xattr block's hash", func() { p.xattrs("file4096", func(b []byte) { b[disk.XattrHeadSize+12]++ }) }, "hash", false},
		{"xattr value beyond the end", func() { p.xattrs("file4096", func(b []byte) { b[disk.XattrHeadSize+3] = 0xFF }) }, "xattr at byte", false},
		{"xattr block's magic", func() { p.xattrs("file4096", func(b []byte) { b[0]++ }) }, "magic number", false},

		{"journal's inode", func() { p.inode(p.number(disk.JournalIno), func(n *disk.Inode) { n.Links = 0 }) }, "journal: ", false},
		{"journal's size", func() { p.inode(p.number(disk.JournalIno), func(n *disk.Inode) { n.Size -= disk.BlockSize }) }, "journal: ", false},
		{"journal's magic", func() { p.edit(p.journalAt(), 1, flip) }, "journal: no magic", false},
		{"journal's length", func() { p.edit(p.journalAt()+16, 4, func(b []byte) { clear(b); b[3] = 200 }) }, "journal: ", false},
		{"resize inode's size", func() { p.inode(p.number(disk.ResizeIno), func(n *disk.Inode) { n.Size++ }) }, "resize inode: ", true},
		{"resize inode's links", func() { p.inode(p.number(disk.ResizeIno), func(n *disk.Inode) { n.Links = 2 }) }, "resize inode: ", true},
		{"resize inode's list", func() { p.edit(blockAt(1+s.DescBlocks()), 4, flip) }, "resize inode: ", false},
		{"orphan file", func() { p.edit(p.orphanAt()+disk.OrphanSumOffset, 1, flip) }, "orphan file: ", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.t = t
			defer p.restore()
			c.harm()
			if err := p.audit(); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v, expected %q", err, c.err)
			} else if !errors.Is(err, disk.ErrCorrupt) && !errors.Is(err, disk.ErrUnsupported) {
				t.Errorf("neither corrupt nor unsupported: %v", err)
			}
			if err := probetest.E2fsck(t, p.file.Name()); (err == nil) != c.quiet {
				t.Errorf("e2fsck says %v", err)
			}
		})
	}
	p.t = t
	if err := p.audit(); err != nil {
		t.Errorf("restored: %v", err)
	}
}

// cutEntry joins the entry of an inode to the one before it.
func cutEntry(b []byte, number uint32) {
	before := 0
	for at := 0; at < disk.DirTailOffset; {
		var head disk.DirentHead
		head.Decode(b[at:])
		if head.Ino == number && at > disk.DotSize {
			size := binary.LittleEndian.Uint16(b[before+4:]) + head.RecLen
			binary.LittleEndian.PutUint16(b[before+4:], size)
			return
		}
		before, at = at, at+int(head.RecLen)
	}
}

// xattrs changes the block of xattrs of path.
func (p *patient) xattrs(path string, fn func(b []byte)) {
	at := p.find(path).FileACL
	p.edit(int64(at)*disk.BlockSize, disk.BlockSize, func(b []byte) {
		fn(b)
		binary.LittleEndian.PutUint32(b[disk.XattrSumOffset:], p.img.Volume().Seed.XattrBlock(at, b))
	})
}

func (p *patient) journalAt() int64 {
	j, err := p.img.Volume().OpenJournal()
	if err != nil {
		p.t.Fatal(err)
	}
	return j.Offset()
}

func (p *patient) orphanAt() int64 {
	c := new(volume.Content)
	if err := p.img.Volume().FindContent(c, p.number(p.img.Volume().Super.OrphanIno), nil); err != nil {
		p.t.Fatal(err)
	}
	return c.Runs[0].DiskOffset(disk.BlockSize)
}
