package ext4

import "encoding/binary"

// moveReserved plans the descriptors, which grow into reserved blocks, and the
// resize inode, whose lists lose those and get what new groups have.
func (g *growth) moveReserved() error {
	for i := g.first; i < len(g.desc)/blockSize; i++ {
		g.changed[1+uint64(i)] = g.desc[i*blockSize : (i+1)*blockSize]
	}
	if _, err := g.block(0); err != nil {
		return err
	}
	if g.old.Compat&compatResizeInode == 0 {
		return nil
	}
	var ino foundInode
	if err := g.img.loadInode(&ino, resizeIno); err != nil {
		return err
	}
	dind := uint64(binary.LittleEndian.Uint32(ino.Block[resizeSlot*wordSize:]))
	if err := g.checkReserved(&ino, dind); err != nil {
		return err
	}
	if err := g.listReserved(dind); err != nil {
		return err
	}
	b, err := g.block(uint64(ino.off) / blockSize)
	if err != nil {
		return err
	}
	raw := b[ino.off%blockSize:][:len(ino.raw)]
	ino.Blocks = g.new.reservedSectors()
	ino.encode(raw)
	if g.img.super.hasSums() {
		ino.sum.seal(raw)
	}
	return nil
}

// checkReserved refuses a resize inode that is not exactly what it should be.
func (g *growth) checkReserved(ino *foundInode, dind uint64) error {
	bad := func() error {
		return &dirtyError{"the resize inode is not as it should be"}
	}
	if ino.Mode&modeKind != modeFile || ino.Flags&flagExtents != 0 || ino.Links != 1 || ino.Blocks != g.old.reservedSectors() ||
		dind < g.old.superBlocks(0) {
		return bad()
	}
	list := make([]byte, blockSize)
	if err := g.img.readBlock(list, dind); err != nil {
		return err
	}
	want, b, copies := make([]byte, blockSize), make([]byte, blockSize), make([]byte, blockSize)
	first := g.old.descBlocks()
	for n := first; n < first+uint64(g.old.ReservedGDT); n++ {
		binary.LittleEndian.PutUint32(want[n%wordsBlock*wordSize:], uint32(1+n))
		if err := g.img.readBlock(b, 1+n); err != nil {
			return err
		}
		if g.old.listCopies(copies, 1+n); string(b) != string(copies) {
			return bad()
		}
	}
	if string(list) != string(want) {
		return bad()
	}
	return nil
}

// listReserved plans the lists of what is still reserved.
func (g *growth) listReserved(dind uint64) error {
	list, err := g.block(dind)
	if err != nil {
		return err
	}
	for n := g.old.descBlocks(); n < g.new.descBlocks(); n++ {
		clear(list[n%wordsBlock*wordSize:][:wordSize])
	}
	if len(g.new.backups()) == len(g.old.backups()) {
		return nil
	}
	first := g.new.descBlocks()
	for n := first; n < first+uint64(g.new.ReservedGDT); n++ {
		b := make([]byte, blockSize)
		g.new.listCopies(b, 1+n)
		g.changed[1+n] = b
	}
	return nil
}
