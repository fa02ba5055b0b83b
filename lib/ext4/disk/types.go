package disk

import "ocipipe/lib/tree"

// types has what the kinds of files are in modes and in directory entries.
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

// byMode has the kinds of files by the upper bits of a mode.
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

// KindOf is what a directory entry says of a file of type t; KindUnknown for 0.
func KindOf(t tree.Type) uint8 { return types[t].kind }

// Type is the type of the file that n is, 0 if there is none like it.
func (n *Inode) Type() tree.Type { return byMode[n.Mode>>12] }
