package ext4

import (
	"encoding/binary"
	"fmt"

	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/journal"
	"ocipipe/lib/tree"
)

// writeMetadata writes everything whose place is in l: the journal, the resize inode, the
// inode tables, bitmaps and descriptors, and last the superblock.
func (w *Writer) writeMetadata(l *layout) error {
	size := max(w.opts.Size&^(disk.BlockSize-1), int64(l.geo.blocks)*disk.BlockSize)
	if err := w.out.Truncate(size); err != nil {
		return err
	}
	m := &metadataWriter{Writer: w, l: l, last: disk.FirstIno - 1 + uint32(len(w.inodes.list)) - 1}
	m.super = m.newSuper()
	for _, step := range []func() error{
		m.writeJournal,
		m.writeResize,
		m.writeInodes,
		m.writeGroups,
		m.writeSupers,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type metadataWriter struct {
	*Writer
	l     *layout
	last  uint32 // inode
	super disk.Superblock
	block [disk.BlockSize]byte // of an inode table
	at    uint64               // the block that it goes to; 0: block is empty
	dirs  []uint32             // number of directories in each group
	free  uint64               // number of free blocks
}

// newSuper returns the superblock without the counts that follow from the groups.
func (m *metadataWriter) newSuper() disk.Superblock {
	o, g := &m.opts, &m.l.geo
	s := disk.Superblock{
		Inodes:           uint32(g.inodes()),
		LogBlockSize:     2,
		LogClusterSize:   2,
		BlocksPerGroup:   disk.BlocksPerGroup,
		ClustersPerGroup: disk.BlocksPerGroup,
		InodesPerGroup:   g.ipg,
		MaxMounts:        0xFFFF,
		Magic:            disk.SuperMagic,
		State:            disk.StateClean,
		Errors:           disk.ErrorsContinue,
		CreatorOS:        disk.CreatorLinux,
		Rev:              disk.DynamicRev,
		FirstIno:         disk.FirstIno,
		InodeSize:        disk.InodeSize,
		UUID:             m.uuid,
		ReservedGDT:      uint16(g.reserved),
		HashSeed:         m.hashSeed,
		HashVersion:      disk.HashHalfMD4,
		MinExtraISize:    disk.ExtraISize,
		WantExtraISize:   disk.ExtraISize,
		Flags:            disk.SignedHash,
		LogGroupsPerFlex: g.logFlex,
		Overhead:         uint32(g.fixed() + m.l.journalLen()),
	}
	copy(s.Label[:], o.Label)
	s.SetBlocks(g.blocks)
	m.setFeatures(&s)
	if o.Epoch != nil {
		lo, hi := disk.Split(uint64(*o.Epoch))
		s.MakeTime, s.WriteTime, s.LastCheck = lo, lo, lo
		s.MakeTimeHi, s.WriteTimeHi, s.LastCheckHi = uint8(hi), uint8(hi), uint8(hi)
	}
	return s
}

// setFeatures sets the features, and the fields that have a meaning only with one of them.
func (m *metadataWriter) setFeatures(s *disk.Superblock) {
	f := m.opts.Features
	s.Compat, s.Incompat, s.RoCompat = f.words()
	if m.l.geo.reserved == 0 {
		s.Compat &^= disk.CompatResizeInode // e2fsck refuses the inode without blocks
	}
	if len(m.l.journal) > 0 {
		s.Compat |= disk.CompatJournal
		s.JournalIno = disk.JournalIno
		s.JnlBackupType = disk.JournalBackupBlocks
	}
	if f.has(bit64) {
		s.DescSize = disk.GroupDescSize
	}
	if f.has(metadataCsum) {
		s.ChecksumType = disk.ChecksumCRC32C
	}
	if f.has(metadataCsumSeed) {
		s.ChecksumSeed = uint32(m.seed)
	}
}

// writeJournal writes the only block that an empty journal needs, and its extent tree, and
// sets the fields of the superblock about the journal.
func (m *metadataWriter) writeJournal() error {
	if len(m.l.journal) == 0 {
		return nil
	}
	n := m.journalInode()
	nodes := m.l.nodes
	take := func() (uint64, error) {
		block := nodes[0]
		nodes = nodes[1:]
		return block, nil
	}
	if _, err := disk.ExtentTree(&n.Block, m.l.journalRuns(), m.seed.Inode(disk.JournalIno, 0), take, m.put); err != nil {
		return err
	}
	copy(m.super.JnlBlocks[:], n.Block[:])
	lo, hi := disk.Split(n.Size)
	binary.LittleEndian.PutUint32(m.super.JnlBlocks[len(n.Block):], hi)
	binary.LittleEndian.PutUint32(m.super.JnlBlocks[len(n.Block)+4:], lo)
	if err := m.putInode(disk.JournalIno, &n, nil); err != nil {
		return err
	}
	return m.put(m.l.journal[0].Start, journal.Empty(uint32(m.l.journalLen()), [16]byte{}))
}

func (m *metadataWriter) journalInode() disk.Inode {
	now := disk.EncodeTime(m.ownTime())
	return disk.Inode{
		Mode: disk.ModeFile | 0o600, Links: 1, Flags: disk.FlagExtents, ExtraISize: disk.ExtraISize,
		Size:   m.l.journalLen() * disk.BlockSize,
		Blocks: (m.l.journalLen() + uint64(len(m.l.nodes))) * disk.SectorBlocks,
		Atime:  now, Ctime: now, Mtime: now, Crtime: now,
	}
}

// writeResize makes the reserved blocks after the descriptors a file; see reserved.go of
// lib/ext4/disk.
func (m *metadataWriter) writeResize() error {
	if m.l.resize == 0 {
		return nil
	}
	now := disk.EncodeTime(m.ownTime())
	n := disk.Inode{
		Mode: disk.ModeFile | 0o600, Links: 1, ExtraISize: disk.ExtraISize,
		Size:   (disk.PointersPerBlock*disk.PointersPerBlock + disk.PointersPerBlock + disk.ResizeSlot - 1) * disk.BlockSize,
		Blocks: m.super.ReservedSectors(),
		Atime:  now, Ctime: now, Mtime: now, Crtime: now,
	}
	binary.LittleEndian.PutUint32(n.Block[disk.ResizeSlot*disk.PointerSize:], uint32(m.l.resize))
	if err := m.putInode(disk.ResizeIno, &n, nil); err != nil {
		return err
	}
	list, copies := make([]byte, disk.BlockSize), make([]byte, disk.BlockSize)
	for i := range uint64(m.l.geo.reserved) {
		block := 1 + uint64(m.l.geo.gdt) + i
		binary.LittleEndian.PutUint32(list[(block-1)%disk.PointersPerBlock*disk.PointerSize:], uint32(block))
		if m.l.geo.groups == 1 {
			continue
		}
		m.super.ListCopies(copies, block)
		if err := m.put(block, copies); err != nil {
			return err
		}
	}
	return m.put(m.l.resize, list)
}

// writeInodes writes the part of the tables that is in use.
func (m *metadataWriter) writeInodes() error {
	m.dirs = make([]uint32, (m.last-1)/m.l.geo.ipg+1)
	for _, it := range m.inodes.list {
		if err := m.stopped(); err != nil {
			return err
		}
		if err := m.writeInode(it); err != nil {
			return m.blame(it, err)
		}
		if it.dir != nil {
			m.dirs[(it.ino-1)/m.l.geo.ipg]++
		}
	}
	return m.flushInodes()
}

// putInode encodes an inode into the block of its table. The block is written when the next
// one is begun. The inodes in the first block may come in any order.
func (m *metadataWriter) putInode(ino uint32, n *disk.Inode, xattrs []byte) error {
	group, i := (ino-1)/m.l.geo.ipg, (ino-1)%m.l.geo.ipg
	if at := m.l.places[group].inodeTable + uint64(i)/disk.InodesPerBlock; at != m.at {
		if err := m.flushInodes(); err != nil {
			return err
		}
		m.at = at
	}
	b := m.block[i%disk.InodesPerBlock*disk.InodeSize:][:disk.InodeSize]
	n.Encode(b)
	copy(b[disk.InodeFixedSize:], xattrs)
	if m.opts.Features.has(metadataCsum) {
		m.seed.Inode(ino, 0).Seal(b)
	}
	return nil
}

func (m *metadataWriter) flushInodes() error {
	if m.at == 0 {
		return nil
	}
	err := m.put(m.at, m.block[:])
	m.block, m.at = [disk.BlockSize]byte{}, 0
	return err
}

func (m *metadataWriter) writeInode(it *inode) error {
	e := it.entry
	xattrs, _, err := disk.PlanXattrs(e.Xattrs, xattrRoom)
	if err != nil {
		return err
	}
	time := disk.EncodeTime(e.Time)
	n := disk.Inode{
		Mode: disk.ModeOf(e.Type) | e.Mode&disk.ModePerm,
		UID:  e.UID, GID: e.GID,
		Links: uint16(it.nlink), FileACL: m.aclOf(it), ExtraISize: disk.ExtraISize,
		Atime: time, Ctime: time, Mtime: time, Crtime: time,
	}
	used := 0
	switch {
	case e.Type == tree.Char || e.Type == tree.Block:
		n.Block = disk.EncodeDevice(e.Dev)
	case e.Type == tree.Link && len(e.Link) <= disk.FastMax:
		n.Size = uint64(copy(n.Block[:], e.Link))
	case e.Type == tree.File || e.Type == tree.Dir || e.Type == tree.Link:
		if used, err = m.extents(it, &n); err != nil {
			return err
		}
	}
	n.Blocks = (it.blocks() + uint64(used)) * disk.SectorBlocks
	if it.acl != 0 {
		n.Blocks += disk.SectorBlocks
	}
	return m.putInode(it.ino, &n, xattrs)
}

// extents fills in the extents of it in n. placeItem has already written the blocks of the
// extent tree.
func (m *metadataWriter) extents(it *inode, n *disk.Inode) (used int, err error) {
	n.Flags |= disk.FlagExtents
	switch {
	case it.dir != nil:
		n.Size = uint64(it.dir.blocks) * disk.BlockSize
		if it.dir.indexed {
			n.Flags |= disk.FlagIndex
		}
		if it.nlink > disk.NlinkMax {
			n.Links = 1 // means more than can be counted
		}
	case it.entry.Type == tree.Link:
		n.Size = uint64(len(it.entry.Link))
	default:
		n.Size = uint64(it.entry.Size)
	}
	nodes := m.files.At(m.inodes.tree(it))
	take := func() (uint64, error) { return nodes.Piece(1).Start, nil }
	return disk.ExtentTree(&n.Block, it.runs(&m.files), m.seed.Inode(it.ino, 0), take, func(uint64, []byte) error { return nil })
}

// writeGroups writes the bitmaps, and the descriptors with all copies.
func (m *metadataWriter) writeGroups() error {
	g := &m.l.geo
	groups := groupWriter{
		geo: g, feat: m.opts.Features, seed: m.seed, places: m.l.places,
		files: m.inUse(), stopped: m.stopped, fixed: merge(g.superAreas(), m.l.areas), dirs: m.dirs, last: m.last, put: m.put,
	}
	used := groups.files.used + g.fixed()
	gdt, err := groups.write()
	if err != nil {
		return err
	}
	m.free = groups.freeBlocks
	if m.free != g.blocks-used {
		panic(fmt.Sprintf("%d of %d blocks are in use, bitmaps have %d free", used, g.blocks, m.free)) // a block has two owners
	}
	for _, i := range disk.BackupGroups(g.groups) {
		if err := m.put(uint64(i)*disk.BlocksPerGroup+1, gdt); err != nil {
			return err
		}
	}
	return nil
}

// inUse marks every block that belongs to an inode.
func (m *metadataWriter) inUse() *bitmaps {
	b := newBitmaps(m.l.geo.groups)
	for _, a := range m.l.journal {
		b.mark(a)
	}
	for _, block := range m.l.nodes {
		b.mark(alloc.Area{Start: block, N: 1})
	}
	for _, block := range m.acls {
		b.mark(alloc.Area{Start: block, N: 1})
	}
	if m.l.resize != 0 {
		b.mark(alloc.Area{Start: m.l.resize, N: 1})
	}
	for _, it := range m.inodes.list {
		runs := it.runs(&m.files)
		for _, r := range runs {
			b.mark(alloc.Area{Start: r.Physical, N: uint64(r.Blocks)})
		}
		if m.inodes.tree(it) != 0 {
			c := m.files.At(m.inodes.tree(it))
			c.Pieces(uint64(disk.ExtentTreeBlocks(runs)), b.mark)
		}
	}
	return b
}

// writeSupers writes the copies of the superblock, and then the superblock.
func (m *metadataWriter) writeSupers() error {
	s := &m.super
	s.SetFreeBlocks(m.free)
	s.FreeInodes = s.Inodes - m.last
	groups := disk.BackupGroups(m.l.geo.groups)
	for _, i := range groups[1:] {
		s.State, s.BlockGroup = 0, uint16(i) // like mke2fs, which does not mark copies as clean
		block := make([]byte, disk.BlockSize)
		s.Seal(block)
		if err := m.put(uint64(i)*disk.BlocksPerGroup, block); err != nil {
			return err
		}
	}
	if err := m.data.Flush(); err != nil {
		return err
	}
	s.State, s.BlockGroup = disk.StateClean, 0
	block := make([]byte, disk.SuperOffset+disk.SuperSize)
	s.Seal(block[disk.SuperOffset:])
	_, err := m.out.WriteAt(block, 0)
	return err
}
