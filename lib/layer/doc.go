// Package layer turns the layers of OCI images, tar archives plain or compressed,
// into the entries of the tree model and back.
//
// [Reader] is a tree.Source over one layer in the layer's own order, in one pass.
// It knows every dialect of tar: V7, ustar, GNU and pax names and numbers, sparse
// files in GNU tar's old form and its three pax forms, extended attributes as
// star and libarchive write them. Why not archive/tar: it tells neither where the
// holes of a sparse file are, nor at which byte an archive is bad, nor a cut
// archive from a complete one. What an archive means is what it means to archive/tar,
// and so to containerd and Docker: of an entry with two names the GNU long name (types
// L and K) counts more than the path or linkpath of a pax header, in whatever order
// they stand, where GNU tar takes the pax one; a global pax header says nothing, and
// what stands before it is no part of the next entry.
//
// A layer is resolved by itself first: names through the symbolic links that the
// layer made before, hard links to what the layer has under the target's name. What
// it does not have itself is left to the layers below, when tree.Tree.Apply puts it
// on top of them. So a ".." in the target of a symbolic link leads up from what the
// layer has, not from where a link of a layer below would lead. And an entry below a
// link of the same layer is one where the link leads, like any other there: over a
// file of a layer below it makes a directory.
//
// A hard link binds when it comes. Where the layer has nothing under the target's
// name at that point it is what the layers below have there, unless the layer has
// hidden that before; only if they have nothing it is what comes there first later in
// the layer, as that may be a link of the same kind itself. Which of the two, only the
// merge knows: tree.Lower says both.
//
// Of the metadata of aufs, which old builders left in layers, files below .wh..wh.plnk
// count: they appear under the names that are hard links to them, as one inode. Until
// the first of these comes their contents lie in a spool file. All else is dropped.
//
// [Writer] is the sink: a pax archive, in the form of a layer if asked for.
package layer

import (
	"errors"
	"fmt"
	"io"
)

// ErrCorrupt is what every error about the form of a layer wraps.
var ErrCorrupt = errors.New("corrupt layer")

// ErrUnsupported is what errors about forms that are valid, but not read, wrap.
var ErrUnsupported = errors.New("not supported")

func corruptAt(off int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fmt.Errorf("%w: byte %d of the tar: %w", ErrCorrupt, off, err)
}
