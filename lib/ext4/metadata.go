package ext4

import (
	"encoding/binary"
	"fmt"

	"ocipipe/lib/tree"
)

// writeMetadata writes what has its place by l: the journal, the resize inode,
// inode tables, bitmaps and descriptors, and the superblock last.
func (w *Writer) writeMetadata(l *layout, items []*item) error {
	size := max(w.opts.Size&^(blockSize-1), int64(l.geo.blocks)*blockSize)
	if err := w.out.Truncate(size); err != nil {
		return err
	}
	m := &metadataWriter{Writer: w, l: l, last: firstIno - 1 + uint32(len(items)) - 1}
	m.super = m.newSuper()
	for _, step := range []func() error{
		m.writeJournal,
		m.writeResize,
		func() error { return m.writeInodes(items) },
		func() error { return m.writeGroups(items) },
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
	super superblock
	block [blockSize]byte // of an inode table
	at    uint64          // where it goes; 0: nowhere
	dirs  []uint32        // of each group
	free  uint64          // blocks
}

// newSuper is the superblock without what only the groups tell.
func (m *metadataWriter) newSuper() superblock {
	o, g := &m.opts, &m.l.geo
	s := superblock{
		Inodes:           uint32(g.inodes()),
		LogBlockSize:     2,
		LogClusterSize:   2,
		BlocksPerGroup:   blocksPerGroup,
		ClustersPerGroup: blocksPerGroup,
		InodesPerGroup:   g.ipg,
		MaxMounts:        0xFFFF,
		Magic:            superMagic,
		State:            stateClean,
		Errors:           errorsContinue,
		CreatorOS:        creatorLinux,
		Rev:              dynamicRev,
		FirstIno:         firstIno,
		InodeSize:        inodeSize,
		UUID:             m.uuid,
		ReservedGDT:      uint16(g.reserved),
		HashSeed:         m.hashSeed,
		HashVersion:      hashHalfMD4,
		MinExtraISize:    extraISize,
		WantExtraISize:   extraISize,
		Flags:            signedHash,
		LogGroupsPerFlex: g.logFlex,
		Overhead:         uint32(g.fixed() + m.l.journalLen()),
	}
	copy(s.Label[:], o.Label)
	s.setBlocks(g.blocks)
	m.setFeatures(&s)
	if o.Epoch != nil {
		lo, hi := split(uint64(*o.Epoch))
		s.MakeTime, s.WriteTime, s.LastCheck = lo, lo, lo
		s.MakeTimeHi, s.WriteTimeHi, s.LastCheckHi = uint8(hi), uint8(hi), uint8(hi)
	}
	return s
}

// setFeatures states the features, and what has a meaning with one only.
func (m *metadataWriter) setFeatures(s *superblock) {
	f := m.opts.Features
	s.Compat, s.Incompat, s.RoCompat = f.words()
	if m.l.geo.reserved == 0 {
		s.Compat &^= compatResizeInode // e2fsck refuses the inode without blocks
	}
	if len(m.l.journal) > 0 {
		s.Compat |= compatJournal
		s.JournalIno = journalIno
		s.JnlBackupType = journalBackupBlocks
	}
	if f.has(bit64) {
		s.DescSize = groupDescSize
	}
	if f.has(metadataCsum) {
		s.ChecksumType = checksumCRC32C
	}
	if f.has(metadataCsumSeed) {
		s.ChecksumSeed = uint32(m.seed)
	}
}

// writeJournal writes the one block that an empty journal has, its extent tree,
// and notes the journal in the superblock.
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
	if _, err := extentTree(&n.Block, m.l.journalRuns(), m.seed.inode(journalIno, 0), take, m.put); err != nil {
		return err
	}
	copy(m.super.JnlBlocks[:], n.Block[:])
	lo, hi := split(n.Size)
	binary.LittleEndian.PutUint32(m.super.JnlBlocks[len(n.Block):], hi)
	binary.LittleEndian.PutUint32(m.super.JnlBlocks[len(n.Block)+4:], lo)
	if err := m.putInode(journalIno, &n, nil); err != nil {
		return err
	}
	return m.put(m.l.journal[0].start, journalSuperblock(uint32(m.l.journalLen()), [16]byte{}))
}

func (m *metadataWriter) journalInode() inode {
	now := encodeTime(m.ownTime())
	return inode{
		Mode: modeFile | 0o600, Links: 1, Flags: flagExtents, ExtraISize: extraISize,
		Size:   m.l.journalLen() * blockSize,
		Blocks: (m.l.journalLen() + uint64(len(m.l.nodes))) * sectorBlocks,
		Atime:  now, Ctime: now, Mtime: now, Crtime: now,
	}
}

// writeResize makes the reserved blocks behind the descriptors a file, as
// growreserved.go describes it.
func (m *metadataWriter) writeResize() error {
	if m.l.resize == 0 {
		return nil
	}
	now := encodeTime(m.ownTime())
	n := inode{
		Mode: modeFile | 0o600, Links: 1, ExtraISize: extraISize,
		Size:   (wordsBlock*wordsBlock + wordsBlock + resizeSlot - 1) * blockSize,
		Blocks: m.super.reservedSectors(),
		Atime:  now, Ctime: now, Mtime: now, Crtime: now,
	}
	binary.LittleEndian.PutUint32(n.Block[resizeSlot*wordSize:], uint32(m.l.resize))
	if err := m.putInode(resizeIno, &n, nil); err != nil {
		return err
	}
	list, copies := make([]byte, blockSize), make([]byte, blockSize)
	for i := range uint64(m.l.geo.reserved) {
		block := 1 + uint64(m.l.geo.gdt) + i
		binary.LittleEndian.PutUint32(list[(block-1)%wordsBlock*wordSize:], uint32(block))
		if m.l.geo.groups == 1 {
			continue
		}
		m.super.listCopies(copies, block)
		if err := m.put(block, copies); err != nil {
			return err
		}
	}
	return m.put(m.l.resize, list)
}

// writeInodes writes the part of the tables that is in use.
func (m *metadataWriter) writeInodes(items []*item) error {
	m.dirs = make([]uint32, (m.last-1)/m.l.geo.ipg+1)
	for _, it := range items {
		if err := m.writeInode(it); err != nil {
			return m.blame(it, err)
		}
		if it.dir != nil {
			m.dirs[(it.ino-1)/m.l.geo.ipg]++
		}
	}
	return m.flushInodes()
}

// putInode encodes an inode into the block of its table, which is written when
// the next is begun. The first block takes inodes in any order.
func (m *metadataWriter) putInode(ino uint32, n *inode, xattrs []byte) error {
	group, i := (ino-1)/m.l.geo.ipg, (ino-1)%m.l.geo.ipg
	if at := m.l.places[group].inodeTable + uint64(i)/inodesPerBlock; at != m.at {
		if err := m.flushInodes(); err != nil {
			return err
		}
		m.at = at
	}
	b := m.block[i%inodesPerBlock*inodeSize:][:inodeSize]
	n.encode(b)
	copy(b[inodeFixedSize:], xattrs)
	if m.opts.Features.has(metadataCsum) {
		m.seed.inode(ino, 0).seal(b)
	}
	return nil
}

func (m *metadataWriter) flushInodes() error {
	if m.at == 0 {
		return nil
	}
	err := m.put(m.at, m.block[:])
	m.block, m.at = [blockSize]byte{}, 0
	return err
}

func (m *metadataWriter) writeInode(it *item) error {
	e := it.entry
	xattrs, _, err := planXattrs(e.Xattrs, xattrRoom)
	if err != nil {
		return err
	}
	time := encodeTime(e.Time)
	n := inode{
		Mode: inodeTypes[e.Type].mode | e.Mode&modePerm,
		UID:  e.UID, GID: e.GID,
		Links: uint16(e.Nlink), FileACL: it.acl, ExtraISize: extraISize,
		Atime: time, Ctime: time, Mtime: time, Crtime: time,
	}
	used := 0
	switch {
	case e.Type == tree.Char || e.Type == tree.Block:
		n.Block = encodeDevice(e.Dev)
	case e.Type == tree.Link && len(e.Link) <= fastMax:
		n.Size = uint64(copy(n.Block[:], e.Link))
	case e.Type == tree.File || e.Type == tree.Dir || e.Type == tree.Link:
		if used, err = m.extents(it, &n); err != nil {
			return err
		}
	}
	n.Blocks = (it.blocks() + uint64(used)) * sectorBlocks
	if it.acl != 0 {
		n.Blocks += sectorBlocks
	}
	return m.putInode(it.ino, &n, xattrs)
}

// extents fills in where the content of it is. Blocks of the tree have been
// written by placeItem.
func (m *metadataWriter) extents(it *item, n *inode) (used int, err error) {
	n.Flags |= flagExtents
	switch {
	case it.dir != nil:
		n.Size = uint64(it.dir.blocks) * blockSize
		if it.dir.indexed {
			n.Flags |= flagIndex
		}
		if it.entry.Nlink > nlinkMax {
			n.Links = 1 // there are more than can be counted
		}
	case it.entry.Type == tree.Link:
		n.Size = uint64(len(it.entry.Link))
	default:
		n.Size = uint64(it.entry.Size)
	}
	nodes := m.files.at(it.nodes)
	take := func() (uint64, error) { return nodes.piece(1).start, nil }
	return extentTree(&n.Block, it.runs(&m.files), m.seed.inode(it.ino, 0), take, func(uint64, []byte) error { return nil })
}

// writeGroups writes the bitmaps and the descriptors, these with all copies.
func (m *metadataWriter) writeGroups(items []*item) error {
	g := &m.l.geo
	groups := groupWriter{
		geo: g, feat: m.opts.Features, seed: m.seed, places: m.l.places,
		files: m.inUse(items), fixed: merge(g.superAreas(), m.l.areas), dirs: m.dirs, last: m.last, put: m.put,
	}
	used := groups.files.used + g.fixed()
	gdt, err := groups.write()
	if err != nil {
		return err
	}
	m.free = groups.freeBlocks
	if m.free != g.blocks-used {
		panic(fmt.Sprintf("%d of %d blocks are in use, bitmaps have %d free", used, g.blocks, m.free)) // one has two owners
	}
	for _, i := range backupGroups(g.groups) {
		if err := m.put(uint64(i)*blocksPerGroup+1, gdt); err != nil {
			return err
		}
	}
	return nil
}

// inUse marks every block that belongs to an inode.
func (m *metadataWriter) inUse(items []*item) *bitmaps {
	b := newBitmaps(m.l.geo.groups)
	for _, a := range m.l.journal {
		b.mark(a)
	}
	for _, block := range m.l.nodes {
		b.mark(area{block, 1})
	}
	for _, block := range m.acls {
		b.mark(area{block, 1})
	}
	if m.l.resize != 0 {
		b.mark(area{m.l.resize, 1})
	}
	for _, it := range items {
		runs := it.runs(&m.files)
		for _, r := range runs {
			b.mark(area{r.physical, uint64(r.blocks)})
		}
		if it.nodes != 0 {
			c := m.files.at(it.nodes)
			c.pieces(uint64(extentTreeBlocks(runs)), b.mark)
		}
	}
	return b
}

// writeSupers writes the superblock, its copies first.
func (m *metadataWriter) writeSupers() error {
	s := &m.super
	s.setFreeBlocks(m.free)
	s.FreeInodes = s.Inodes - m.last
	groups := backupGroups(m.l.geo.groups)
	for _, i := range groups[1:] {
		s.State, s.BlockGroup = 0, uint16(i) // mke2fs does not call copies clean
		block := make([]byte, blockSize)
		s.seal(block)
		if err := m.put(uint64(i)*blocksPerGroup, block); err != nil {
			return err
		}
	}
	if err := m.data.Flush(); err != nil {
		return err
	}
	s.State, s.BlockGroup = stateClean, 0
	block := make([]byte, superOffset+superSize)
	s.seal(block[superOffset:])
	_, err := m.out.WriteAt(block, 0)
	return err
}
