package ext4

import (
	"fmt"

	"ocipipe/lib/ext4/disk"
)

// Lack is the kind of room that a file system lacks.
type Lack uint8

// Kinds of Lack.
const (
	LackMetadata Lack = iota + 1 // no room for metadata and journal, whatever is added
	LackInodes                   // too few inodes for the entries
	LackSpace                    // Options.Size is too small for the entries
	LackGrowth                   // without Options.Size: entries and free space need more than Options.MaxSize
)

// RoomError says that a file system has no room for its entries, and which options would
// be enough.
type RoomError struct {
	Lack Lack
	Have int64 // with LackInodes inodes, with LackMetadata 0, else bytes
	Need int64 // with LackInodes the inodes that are needed

	Size   int64 // an Options.Size that is enough; 0: the size is enough, or with LackSpace no size is
	Inodes int64 // an Options.Inodes that is enough; 0: the inodes are enough
	Free   int64 // with LackSpace: bytes for more files with Size, give or take a few blocks

	Upper bool // Options.Upper: overlayfs needs room, too
}

func (e *RoomError) Error() string {
	switch e.Lack {
	case LackInodes:
		return fmt.Sprintf("%d inodes are needed, there would be %d", e.Need, e.Have)
	case LackSpace:
		s := fmt.Sprintf("the tree does not fit into %d bytes", e.Have)
		switch {
		case e.Size == 0:
			s += ", nor into any size"
		case e.Upper:
			s += " with room for overlayfs"
		}
		return s
	case LackGrowth:
		return fmt.Sprintf("the tree, and what is to be free, do not fit into the %d bytes to which it can grow", e.Have)
	}
	return "there is no room for the metadata and the journal"
}

// errNoRoom says that a size is too small, whatever the entries.
var errNoRoom = &RoomError{Lack: LackMetadata}

// tooFewInodes returns an error that says which of Options.Size and Options.Inodes has to be
// larger: have is the number of inodes, want the number that is needed.
func (o *Options) tooFewInodes(have, want uint64) error {
	e := &RoomError{Lack: LackInodes, Have: int64(have), Need: int64(want), Upper: o.Upper}
	const group = disk.BlocksPerGroup * disk.BlockSize
	if groups := disk.DivUp(want, disk.MaxInodesPerGroup); o.Size != 0 && groups > disk.DivUp(uint64(o.Size), group) {
		e.Size = int64(groups * group)
		if o.Inodes >= int64(want) || o.Inodes == 0 && !o.Upper {
			return e
		}
	}
	e.Inodes = int64(want)
	return e
}
