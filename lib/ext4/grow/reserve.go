package grow

import (
	"encoding/binary"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/volume"
)

// moveReserved plans the blocks of descriptors, which grow into reserved blocks, and the
// resize inode: its lists lose these blocks and gain copies in new groups.
func (g *growth) moveReserved() error {
	for i := g.first; i < len(g.desc)/disk.BlockSize; i++ {
		g.changed[1+uint64(i)] = g.desc[i*disk.BlockSize : (i+1)*disk.BlockSize]
	}
	if _, err := g.block(0); err != nil {
		return err
	}
	if g.old.Compat&disk.CompatResizeInode == 0 {
		return nil
	}
	var ino volume.Inode
	if err := g.vol.LoadInode(&ino, disk.ResizeIno); err != nil {
		return err
	}
	dind := uint64(binary.LittleEndian.Uint32(ino.Block[disk.ResizeSlot*disk.PointerSize:]))
	if err := g.checkReserved(&ino, dind); err != nil {
		return err
	}
	if err := g.listReserved(dind); err != nil {
		return err
	}
	b, err := g.block(uint64(ino.Off) / disk.BlockSize)
	if err != nil {
		return err
	}
	raw := b[ino.Off%disk.BlockSize:][:len(ino.Raw)]
	ino.Blocks = g.new.ReservedSectors()
	ino.Encode(raw)
	if g.vol.Super.HasSums() {
		ino.Sum.Seal(raw)
	}
	return nil
}

// checkReserved refuses a resize inode that is not exactly as expected. dind is its double
// indirect block.
func (g *growth) checkReserved(ino *volume.Inode, dind uint64) error {
	bad := func() error {
		return &volume.DirtyError{Problem: "the resize inode is not as it should be"}
	}
	if ino.Mode&disk.ModeKind != disk.ModeFile || ino.Flags&disk.FlagExtents != 0 || ino.Links != 1 || ino.Blocks != g.old.ReservedSectors() ||
		dind < g.old.HeadBlocks(0) {
		return bad()
	}
	list := make([]byte, disk.BlockSize)
	if err := g.vol.ReadBlock(list, dind); err != nil {
		return err
	}
	want, b, copies := make([]byte, disk.BlockSize), make([]byte, disk.BlockSize), make([]byte, disk.BlockSize)
	first := g.old.DescBlocks()
	for n := first; n < first+uint64(g.old.ReservedGDT); n++ {
		binary.LittleEndian.PutUint32(want[n%disk.PointersPerBlock*disk.PointerSize:], uint32(1+n))
		if err := g.vol.ReadBlock(b, 1+n); err != nil {
			return err
		}
		if g.old.ListCopies(copies, 1+n); string(b) != string(copies) {
			return bad()
		}
	}
	if string(list) != string(want) {
		return bad()
	}
	return nil
}

// listReserved plans the lists of the blocks that stay reserved.
func (g *growth) listReserved(dind uint64) error {
	list, err := g.block(dind)
	if err != nil {
		return err
	}
	for n := g.old.DescBlocks(); n < g.new.DescBlocks(); n++ {
		clear(list[n%disk.PointersPerBlock*disk.PointerSize:][:disk.PointerSize])
	}
	if len(g.new.Backups()) == len(g.old.Backups()) {
		return nil
	}
	first := g.new.DescBlocks()
	for n := first; n < first+uint64(g.new.ReservedGDT); n++ {
		b := make([]byte, disk.BlockSize)
		g.new.ListCopies(b, 1+n)
		g.changed[1+n] = b
	}
	return nil
}
