package ext4

import (
	"crypto/sha256"

	"ocipipe/lib/ext4/disk"
)

// xattrRoom is how many bytes an inode has for xattrs, after its fields.
const xattrRoom = disk.InodeSize - disk.InodeFixedSize

// xattrUsers are the inodes with equal blocks of xattrs.
type xattrUsers struct {
	left  int    // number of inodes that have no block yet
	index uint32 // index in Writer.acls, plus 1, of the last block that was written
	room  int    // how many more inodes can use that block
}

// placeXattrs writes the blocks of xattrs. Inodes with equal blocks share a block, or several
// if they are more than disk.XattrMaxRefs. Blocks with the same hash count as equal, so it is
// a hash for which nobody can find two such blocks.
func (w *Writer) placeXattrs() error {
	users := make(map[[32]byte]*xattrUsers)
	err := w.eachXattrBlock(func(_ *inode, block []byte) error {
		key := sha256.Sum256(block)
		if users[key] == nil {
			users[key] = new(xattrUsers)
		}
		users[key].left++
		return nil
	})
	if err != nil {
		return err
	}
	return w.eachXattrBlock(func(it *inode, block []byte) error {
		u := users[sha256.Sum256(block)]
		if u.room == 0 {
			if err := w.writeXattrBlock(u, block); err != nil {
				return err
			}
		}
		it.acl = u.index
		u.room--
		return nil
	})
}

// eachXattrBlock calls fn for each of items whose xattrs do not fit into the inode.
func (w *Writer) eachXattrBlock(fn func(it *inode, block []byte) error) error {
	for _, it := range w.inodes.list {
		if len(it.entry.Xattrs) == 0 {
			continue
		}
		_, block, err := disk.PlanXattrs(it.entry.Xattrs, xattrRoom)
		if err == nil && block != nil {
			err = fn(it, block)
		}
		if err != nil {
			return w.blame(it, err)
		}
	}
	return nil
}

// aclOf is the block of xattrs of it; 0: none.
func (w *Writer) aclOf(it *inode) uint64 {
	if it.acl == 0 {
		return 0
	}
	return w.acls[it.acl-1]
}

// writeXattrBlock writes block for as many of the inodes u as can share it.
func (w *Writer) writeXattrBlock(u *xattrUsers, block []byte) error {
	at, err := w.take()
	if err != nil {
		return err
	}
	w.acls = append(w.acls, at)
	u.index = uint32(len(w.acls))
	u.room = min(u.left, disk.XattrMaxRefs)
	u.left -= u.room
	disk.SetXattrRefs(block, uint32(u.room))
	if w.opts.Features.has(metadataCsum) {
		disk.SealXattrBlock(block, at, w.seed)
	}
	return w.put(at, block)
}
