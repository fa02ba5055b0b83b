// Package layer turns the layers of OCI images, tar archives plain or compressed,
// into the entries of the tree model and back.
//
// [Reader] is a tree.Source over one layer in the layer's own order, in one pass.
// It knows every dialect of tar: V7, ustar, GNU and pax names and numbers, sparse
// files in GNU tar's old form and its three pax forms, extended attributes as
// star and libarchive write them. It does not use archive/tar, which does not say where
// the holes of a sparse file are, or at which byte an archive is bad, and takes an archive
// that is cut short for a complete one. An archive means what it means to archive/tar, and
// so to containerd and Docker. If an entry has two names, the GNU long name (types L and K)
// overrides the path or linkpath of a pax header, in whatever order they come; GNU tar
// takes the pax one. A global pax header has no effect, except that the extended headers
// before it do not belong to the next entry.
//
// The package first resolves a layer by itself: names through the symbolic links that the
// layer made before, and hard links to the entries of the layer. It leaves targets that the
// layer does not have to the layers below, when tree.Tree.Apply puts the layer on top of
// them. So a ".." in the target of a symbolic link leads up from a directory of the layer,
// not from the place where a link of a layer below would lead. An entry below a link of the
// same layer is an entry where the link leads, like any other there: if a layer below has a
// file at that place, a directory replaces it.
//
// A hard link binds when it comes. If the layer does not have the target at that point, the
// link binds to the target in the layers below, unless the layer has hidden that before. If
// the layers below do not have the target either, the link binds to the first entry that
// comes there later in the layer, which may be such a link itself. Only the merge knows
// which of the two applies; tree.Lower names both.
//
// Old builders left metadata of aufs in layers. The package keeps the files below
// .wh..wh.plnk: they appear under the names that are hard links to them, as one inode.
// Their contents lie in a spool file until the first of these names comes. It drops all
// other metadata of aufs.
//
// [Writer] is the sink: a pax archive, in the form of a layer if asked for.
package layer

import (
	"errors"
	"fmt"
	"io"
)

// ErrCorrupt is in every error about the form of a layer.
var ErrCorrupt = errors.New("corrupt layer")

// ErrUnsupported is in every error about a form that is valid but not supported.
var ErrUnsupported = errors.New("not supported")

func corruptAt(off int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fmt.Errorf("%w: byte %d of the tar: %w", ErrCorrupt, off, err)
}
