package disk

import (
	"ocipipe/lib/tree"
)

// The xattrs by which a layer image says what only a layer has.
var (
	MarkImplied = tree.Xattr{Name: tree.MarkPrefix + "implied", Value: "y"} // Entry.NoChange
	MarkOrigin  = tree.Xattr{Name: tree.OverlayPrefix + "origin"}           // on a directory that holds whiteouts
)

// The names of marks whose values are paths.
const (
	MarkLink = tree.MarkPrefix + "link" // Lower.Targets, with NULs between them
	MarkElse = tree.MarkPrefix + "else" // Lower.Else; the path of the inode, or "" if it is this one
)

// MarkRefused stands beside MarkLink. To overlayfs these xattrs mean that the data of
// the file lie in a layer below, under a name that cannot exist, so that it refuses the
// file instead of showing an empty one.
var MarkRefused = []tree.Xattr{
	{Name: tree.OverlayPrefix + "metacopy"},
	{Name: tree.OverlayPrefix + "redirect", Value: "/.ocipipe-link"},
}
