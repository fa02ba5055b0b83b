package erofs

import (
	"fmt"
	"math"
	"slices"

	"github.com/zeebo/xxh3"

	"ocipipe/lib/blockio"
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// metadataWriter writes the sections other than the file data.
type metadataWriter struct {
	*plan
	stopped func() error // returns why to stop writing, or nil
	out     *blockio.Writer
	tails   tailLot
	head    []byte       // sections 1 and 2
	digest  *xxh3.Hasher // over everything after the head; nil if the UUID is given
	block   []byte       // buffer for a block of a directory
	item    []byte       // buffer for an inode and its xattrs
	err     error
}

// writeMetadata writes everything but the file data: sections 4 and 5, then 1 and 2.
func (w *Writer) writeMetadata(p *plan) error {
	if err := w.tail.wait(); err != nil {
		return err
	}
	m := &metadataWriter{
		plan:    p,
		stopped: w.stopped,
		out:     w.data,
		tails:   tailLot{from: w.tail},
		head:    make([]byte, p.headEnd()),
		digest:  w.digest,
	}
	for _, it := range p.blocks {
		m.writeBlocks(it)
	}
	m.writeItems()
	if m.err == nil {
		m.err = m.out.Flush()
	}
	if m.err != nil {
		return m.err
	}
	m.writeTable()
	m.writeSuper(&w.opts)
	_, err := w.out.WriteAt(m.head, 0)
	return err
}

// put appends p to the image.
func (m *metadataWriter) put(p []byte) {
	if m.err == nil {
		m.err = m.stopped()
	}
	if m.err == nil {
		_, m.err = m.out.Write(p)
	}
}

// pad appends zeros up to off.
func (m *metadataWriter) pad(off int64) {
	for n := off - m.out.Offset(); n > 0 && m.err == nil; n = off - m.out.Offset() {
		m.put(zeros[:min(n, int64(len(zeros)))])
	}
}

// writeBlocks writes the blocks of it in section 4.
func (m *metadataWriter) writeBlocks(it *item) {
	if it.dir == nil {
		m.put([]byte(it.entry.Link))
	} else {
		m.eachDirBlock(it, 0, it.outside(m.bs), m.put)
	}
	m.pad(disk.RoundUp(m.out.Offset(), m.bs))
}

// eachDirBlock calls put for each block of a directory from the block begin on, as long as
// it is before end. All blocks but the last of the directory are whole.
func (m *metadataWriter) eachDirBlock(it *item, begin, end int64, put func(block []byte)) {
	m.names = appendDirNames(m.names[:0], it.dir.node.SortedChildren())
	names := m.names
	for i := int64(0); i < end && len(names) > 0; i++ {
		n, used := fillDirBlock(names, m.bs)
		if i >= begin {
			block := m.encodeDirBlock(it, names[:n])
			if len(names) > n {
				block = append(block, zeros[:m.bs-used]...)
			}
			put(block)
		}
		names = names[n:]
	}
}

// encodeDirBlock makes a block of directory it with the given names.
func (m *metadataWriter) encodeDirBlock(it *item, names []dirName) []byte {
	b := slices.Grow(m.block[:0], int(m.bs))[:len(names)*disk.DirentSize]
	for i, d := range names {
		child, kind := it, tree.Dir
		switch {
		case d.node != nil:
			child = m.table.Of(d.node.Entry)
			kind = child.entry.Type
		case d.name == "..":
			child = it.dir.parent
		}
		disk.Dirent{Nid: child.nid, Name: uint16(len(b)), Kind: disk.DirentType(kind)}.Encode(b[i*disk.DirentSize:])
		b = append(b, d.name...)
	}
	m.block = b
	return b
}

// writeItems writes the metadata in the head and in section 5, in ascending order.
func (m *metadataWriter) writeItems() {
	shared := m.shared.size > 0
	for rest := m.placed; len(rest) > 0 && m.err == nil; {
		var lot []placedItem
		lot, rest = m.cutLot(rest)
		m.err = m.tails.load(lot, m.bs)
		for _, it := range lot {
			if shared && m.xattrs < m.offset(it.item) {
				m.putAt(m.xattrs, m.shared.encode())
				shared = false
			}
			m.writeItem(it.item)
		}
	}
	if shared {
		m.putAt(m.xattrs, m.shared.encode())
	}
	m.pad(m.end)
}

// cutLot returns the first of items whose tails are read together, and the rest. The first
// are mostly those that were packed as one lot, whose tails lie together, too.
func (m *metadataWriter) cutLot(items []placedItem) (lot, rest []placedItem) {
	for len(m.lots) > 0 && m.lots[0] <= items[0].nid {
		m.lots = m.lots[1:]
	}
	n, size := 0, int64(0)
	for n < len(items) && size < maxTailLot && (len(m.lots) == 0 || items[n].nid < m.lots[0]) {
		size += items[n].tailSize(m.bs)
		n++
	}
	return items[:n], items[n:]
}

// putAt writes p, a piece of metadata, at off: into the head, or after everything that was
// written before.
func (m *metadataWriter) putAt(off int64, p []byte) {
	if off < int64(len(m.head)) {
		copy(m.head[off:], p) // it fits: the packer has given it the place
		return
	}
	m.pad(off)
	m.put(p)
}

// writeItem writes an inode and everything that follows it.
func (m *metadataWriter) writeItem(it *item) {
	n := m.inode(it)
	b := append(m.item[:0], zeros[:n.RecordSize()]...)
	n.Encode(b)
	b = m.shared.appendBody(b, m.xattrList(it))
	if int64(len(b)) != it.bareSize() {
		panic(fmt.Sprintf("inode of %d bytes, planned were %d", len(b), it.bareSize()))
	}
	m.item = b
	off := m.offset(it)
	if it.layout == disk.ChunkBased {
		b = append(b, zeros[:disk.RoundUp(int64(len(b)), disk.ChunkIndexSize)-int64(len(b))]...)
	}
	m.putAt(off, b)
	switch off += int64(len(b)); it.layout {
	case disk.FlatInline:
		m.putAt(off, m.inlineEnd(it))
	case disk.ChunkBased:
		m.writeMap(it, off)
	case disk.CompressedFull, disk.CompressedCompact:
		m.writeIndex(it, off)
	}
}

// inlineEnd returns the end of the data of it, which follows the inode. It is valid until
// the next call.
func (m *metadataWriter) inlineEnd(it *item) (end []byte) {
	switch {
	case it.dir != nil:
		last := it.dir.size / m.bs
		m.eachDirBlock(it, last, last+1, func(block []byte) { end = block })
	case it.entry.Type == tree.Link:
		m.block = append(m.block[:0], it.entry.Link...)
		end = m.block
	default:
		end = m.tails.of(it, m.bs)
	}
	return end
}

// writeMap writes the chunk map of it at off.
func (m *metadataWriter) writeMap(it *item, off int64) {
	var (
		chunk = m.bs << it.chunkBits
		next  = int64(0) // chunk
		b     []byte
	)
	entry := func(v uint32) {
		b = append(b, zeros[:disk.ChunkIndexSize]...)
		disk.EncodeChunkIndex(b[len(b)-disk.ChunkIndexSize:], v)
		if next++; len(b) >= len(zeros) {
			m.putAt(off, b)
			off += int64(len(b))
			b = b[:0]
		}
	}
	m.eachPiece(it, chunk, func(run tree.Extent, block int64) {
		for next < run.Off/chunk {
			entry(disk.NullBlock)
		}
		for next*chunk < run.End() {
			entry(uint32(block + (next*chunk-run.Off)/m.bs))
		}
	})
	for next < disk.Blocks(it.size(), chunk) {
		entry(disk.NullBlock)
	}
	m.putAt(off, b)
}

// writeIndex writes the list of the extents of it, a compressed file whose inode ends at off.
func (m *metadataWriter) writeIndex(it *item, off int64) {
	err := m.packed.writeIndex(it, off, func(b []byte) error {
		m.putAt(off, b)
		off += int64(len(b))
		return m.err
	})
	if m.err == nil {
		m.err = err
	}
}

// eachPiece calls fn for each run of chunks of it that has data, with the first block of
// that data.
func (m *metadataWriter) eachPiece(it *item, chunk int64, fn func(run tree.Extent, block int64)) {
	block := int64(it.start)
	if c := it.lower(); c != nil {
		for _, r := range c.Runs() {
			fn(r.Extent, block+r.Pos/m.bs)
		}
		return
	}
	eachRun(it.entry.Extents, it.entry.Size, chunk, func(run tree.Extent) {
		fn(run, block)
		block += disk.Blocks(run.Len, m.bs)
	})
}

// writeTable writes the table of devices to the head, or what stands for it.
func (m *metadataWriter) writeTable() {
	if m.hasDeviceSum() {
		sum := disk.DeviceSum{Blocks: uint32(m.end / m.bs), Sum: sumOfTags(m.slots)}
		sum.Encode(m.head[m.sumAt():])
	}
	for i := range m.tableLen {
		m.slots[i].Encode(m.head[tableEnd(m.spare+i):])
	}
}

// writeSuper completes the head with the superblock. Everything else has been written.
func (m *metadataWriter) writeSuper(opts *Options) {
	super := disk.Superblock{
		Magic:     disk.Magic,
		Compat:    disk.CompatChecksum | disk.CompatMtime,
		BlockBits: uint8(log2(m.bs)),
		RootNid:   uint16(m.items[0].nid),
		Inodes:    uint64(len(m.items)),
		Epoch:     m.epoch.Sec,
		FixedNsec: m.epoch.Nsec,
		Blocks:    uint32(m.ownBlocks()),
		MetaBlock: uint32(m.metaBlock),
	}
	copy(super.Label[:], opts.Label)
	if m.shared.used {
		super.Compat |= disk.CompatXattrFilter
		super.XattrBlock = uint32(m.xattrs / m.bs)
	}
	if m.chunked {
		super.Incompat |= disk.IncompatChunked
	}
	if m.packed != nil {
		m.packed.features().describe(&super, m.head[tableEnd(0):])
	}
	if m.tableLen > 0 {
		super.Incompat |= disk.IncompatDevices
		super.ExtraDevices = uint16(m.tableLen)
		super.DeviceSlot = uint16(tableEnd(m.spare) / disk.DeviceSlotSize)
	}
	if opts.BuildTime != nil {
		if after := *opts.BuildTime - m.epoch.Sec; after >= 0 && after <= math.MaxUint32 {
			super.BuildTime = uint32(after)
		}
	}
	super.Encode(m.head[disk.SuperOffset:])
	if opts.UUID != nil {
		super.UUID = *opts.UUID
	} else {
		super.UUID = contentUUID(m.digest, m.head)
	}
	super.Encode(m.head[disk.SuperOffset:])
	super.Checksum = disk.Checksum(m.head[disk.SuperOffset : disk.SuperOffset+disk.ChecksumLen(m.bs)])
	super.Encode(m.head[disk.SuperOffset:])
}

// ownBlocks is the number of blocks on the image's own device. Without a table the devices
// count as a part of that.
func (m *metadataWriter) ownBlocks() int64 {
	if m.tableLen == 0 {
		return m.total / m.bs
	}
	return m.end / m.bs
}

func log2(n int64) (bits int) {
	for ; n > 1; n >>= 1 {
		bits++
	}
	return bits
}
