package volume

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"ocipipe/lib/ext4/disk"
)

// inlineParts returns the two parts of inline data: i_block, and the rest, which is in an
// xattr.
func (ino *Inode) inlineParts() (first, rest []byte, err error) {
	if rest, err = disk.InlineData(ino.xattrArea()); err != nil {
		return nil, nil, fmt.Errorf("inode %d at byte %d: %w", ino.Number, ino.Off, err)
	}
	return ino.Block[:disk.InlineMin], rest, nil
}

// findInline sets c, which has no content yet, to the inline data of ino. A file may be longer
// than these: a hole follows (ext4_read_inline_folio).
func (vol *Volume) findInline(c *Content, ino *Inode) error {
	first, rest, err := ino.inlineParts()
	if err != nil {
		return err
	}
	if ino.Size > disk.ExtentMaxLogical*uint64(vol.block) {
		return disk.Corrupt(ino.Off, "inode %d has %d bytes", ino.Number, ino.Size)
	}
	all := bytes.Join([][]byte{first, rest}, nil)
	c.inline = all[:min(uint64(len(all)), ino.Size)]
	return nil
}

// readInlineDir returns the entries of a directory with inline data, and its content without
// blocks. The first word is the number of its parent; each part of the rest is like a block.
func (vol *Volume) readInlineDir(ino *Inode, parent uint32) (list []disk.Dirent, c *Content, err error) {
	first, rest, err := ino.inlineParts()
	if err != nil {
		return nil, nil, err
	}
	if ino.Size != uint64(len(first)+len(rest)) {
		return nil, nil, disk.Corrupt(ino.Off, "directory %d has %d bytes, and inline data of %d", ino.Number, ino.Size, len(first)+len(rest))
	}
	if up := binary.LittleEndian.Uint32(first); up != parent {
		return nil, nil, disk.Corrupt(ino.Off, "directory %d names inode %d as its parent %d", ino.Number, up, parent)
	}
	for _, part := range [][]byte{first[4:], rest} {
		if list, err = disk.AppendDirents(list, part); err != nil {
			return nil, nil, fmt.Errorf("directory %d at byte %d: %w", ino.Number, ino.Off, err)
		}
	}
	return list, &Content{vol: vol, Size: int64(ino.Size)}, nil
}
