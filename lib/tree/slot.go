package tree

import (
	"errors"
	"io"
)

// slot is a number in place of a content.
type slot uint32

var errSlot = errors.New("content is not in the tree: its holder has put it elsewhere")

func (slot) WriteTo(io.Writer) (int64, error) { return 0, errSlot }

// SetSlot notes n in e, an Entry that a [Tree] holds, for the holder of the tree: the place
// of the inode in a table beside it. It takes the place of the content, which the holder
// has put elsewhere, and about four bytes.
func (e *Entry) SetSlot(n uint32) { e.Content = slot(n) }

// Slot is what SetSlot has noted, also in copies of e; ok is false if it noted nothing.
func (e *Entry) Slot() (n uint32, ok bool) {
	s, ok := e.Content.(slot)
	return uint32(s), ok
}
