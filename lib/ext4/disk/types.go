package disk

import "ocipipe/lib/tree"

// types has, for each type of file, its code in modes and in directory entries.
var types = [...]struct {
	mode uint16
	kind uint8
}{
	tree.File:   {ModeFile, KindFile},
	tree.Dir:    {ModeDir, KindDir},
	tree.Link:   {ModeLink, KindLink},
	tree.Char:   {ModeChar, KindChar},
	tree.Block:  {ModeBlock, KindBlock},
	tree.Fifo:   {ModeFifo, KindFifo},
	tree.Socket: {ModeSocket, KindSocket},
}

// byMode has the types of files by the upper four bits of a mode.
var byMode = func() (list [16]tree.Type) {
	for t, r := range types {
		if r.mode != 0 {
			list[r.mode>>12] = tree.Type(t)
		}
	}
	return list
}()

// ModeOf is the upper bits of the mode of a file of type t.
func ModeOf(t tree.Type) uint16 { return types[t].mode }

// KindOf is the kind of a file of type t in a directory entry; KindUnknown if t is 0.
func KindOf(t tree.Type) uint8 { return types[t].kind }

// Type is the type of file of n, or 0 if its Mode has none.
func (n *Inode) Type() tree.Type { return byMode[n.Mode>>12] }
