package disk

import (
	"ocipipe/lib/tree"
)

// Marks in the image of a layer: xattrs for what only a layer has.
var (
	MarkImplied = tree.Xattr{Name: tree.MarkPrefix + "implied", Value: "y"} // Entry.NoChange
	MarkOrigin  = tree.Xattr{Name: tree.OverlayPrefix + "origin"}           // on a directory that holds whiteouts
)

// The names of marks whose values are paths.
const (
	MarkLink = tree.MarkPrefix + "link" // Lower.Targets, separated by NULs
	MarkElse = tree.MarkPrefix + "else" // Lower.Else: the path of the inode, or "" for this inode
)

// MarkRefused are xattrs that a file with MarkLink has, too. They tell overlayfs that the
// data of the file is in a layer below, under a name that cannot exist. So overlayfs
// refuses the file instead of showing an empty one.
var MarkRefused = []tree.Xattr{
	{Name: tree.OverlayPrefix + "metacopy"},
	{Name: tree.OverlayPrefix + "redirect", Value: "/.ocipipe-link"},
}
