package disk

import (
	"strings"

	"ocipipe/lib/tree"
)

// The xattrs by which a layer image says what only a layer has.
var (
	MarkImplied = tree.Xattr{Name: MarkPrefix + "implied", Value: "y"} // Entry.NoChange
	MarkOrigin  = tree.Xattr{Name: "trusted.overlay.origin"}           // on a directory that holds whiteouts
)

// The names of marks whose values are paths.
const (
	MarkPrefix = "trusted.ocipipe."
	MarkLink   = MarkPrefix + "link" // Lower.Targets, with NULs between them
	MarkElse   = MarkPrefix + "else" // Lower.Else; the path of the inode, or "" if it is this one
)

// MarkRefused stands beside MarkLink. To overlayfs these xattrs mean that the data of
// the file lie in a layer below, under a name that cannot exist, so that it refuses the
// file instead of showing an empty one.
var MarkRefused = []tree.Xattr{
	{Name: "trusted.overlay.metacopy"},
	{Name: "trusted.overlay.redirect", Value: "/.ocipipe-link"},
}

// Reserved reports whether no layer may have an xattr of this name but as one of its
// marks.
func Reserved(name string) bool {
	return SteersOverlay(name) || strings.HasPrefix(name, MarkPrefix)
}

// SteersOverlay reports whether overlayfs acts on an xattr of this name.
func SteersOverlay(name string) bool {
	return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
}
