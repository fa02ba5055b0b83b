// Package overlay reads the upper directory of an overlayfs: what was changed in the mounted
// overlay becomes the stream of one layer.
//
//	src, err := overlay.Changes(img, overlay.Options{})
//
// It knows an ext4 disk with the directory upper and, beside it, work, such as mkext4upper
// makes and a kernel has used. The layer, applied to what lay below the overlay, gives the
// tree that was seen in it.
//
// # What is on the disk, and what becomes of it
//
// Names are those of Linux 6.18, without the prefix trusted.overlay. or, with
// [Options.UserXattr], user.overlay.
//
//	char 0:0           whiteout. The kernel links many of them to one inode; each is one alone
//	opaque=y           opaque directory; on the root, as on the disk, it means nothing
//	opaque=x           directory with whiteouts that are files: these become ordinary ones
//	whiteout           such a file; elsewhere than in a directory with opaque=x it is refused
//	redirect           of a directory: it was renamed, and what it had in the images below is
//	                   still to be seen in it. It becomes an opaque directory with all of that
//	metacopy           file whose content lies below, at the path of the redirect or its own
//	overlay.NAME       what was set as NAME in the overlay, by another overlay on top of it
//	protattr           immutable or append-only: dropped with a warning, a layer has no place for it
//	anything else      dropped: origin, impure, nlink, uuid, upper
//
// Directories that were only copied up are in the layer with their attributes, as in those
// that docker commit makes. Everything in the upper directory that is not a mark is kept:
// types, modes, owners, times, hard links, holes, access control lists, sockets.
//
// Redirects and copies of metadata need the images that lay below ([Options.Below]); without
// them they are a [*NeedsBelowError]. A redirect leads to a path in these images, never to
// another redirect, so there are no loops. What several redirects lead to counts against
// the limits each time.
//
// # Hard links
//
// Names that share an inode on the disk share it in the layer. A file below with several
// names of which some were renamed with their directory, and some were not, becomes a hard
// link to a layer below. With index=on the names of a file below stay together when one of
// them is changed: the others have no record on the disk, and show the inode that lies in
// work/index. With Below they become hard links to it. If that is impossible, a warning names
// the file.
package overlay
