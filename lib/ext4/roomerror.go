package ext4

import (
	"fmt"

	"ocipipe/lib/ext4/disk"
)

// Lack is what a file system has too little of.
type Lack uint8

// What can be lacking.
const (
	LackMetadata Lack = iota + 1 // room for metadata and journal, whatever is added
	LackInodes
	LackSpace  // Options.Size is too small for what was added
	LackGrowth // without Options.Size: what was added, and what is to be free, would take more than Options.MaxSize
)

// RoomError says that a file system has no room for what is to be in it, and what would
// be enough.
type RoomError struct {
	Lack Lack
	Have int64 // inodes with LackInodes, else bytes; 0 with LackMetadata
	Need int64 // inodes, with LackInodes

	Size   int64 // Options.Size that is enough; 0: it can stay, or with LackSpace no size is
	Inodes int64 // Options.Inodes that is enough; 0: it can stay
	Free   int64 // bytes that are free for more files with Size, give or take a few blocks; with LackSpace

	Upper bool // overlayfs needs room, too
}

func (e *RoomError) Error() string {
	switch e.Lack {
	case LackInodes:
		return fmt.Sprintf("%d inodes are needed, there would be %d", e.Need, e.Have)
	case LackSpace:
		s := fmt.Sprintf("what was added does not fit into %d bytes", e.Have)
		switch {
		case e.Size == 0:
			s += ", nor into any size"
		case e.Upper:
			s += " with room for overlayfs"
		}
		return s
	case LackGrowth:
		return fmt.Sprintf("what was added, and what is to be free, do not fit into the %d bytes to which it can grow", e.Have)
	}
	return "there is no room for the metadata and the journal"
}

// errNoRoom is of a size that is too small whatever is to be in it.
var errNoRoom = &RoomError{Lack: LackMetadata}

// tooFewInodes says so, and which of size and inodes has to be larger.
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
