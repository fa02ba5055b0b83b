package tree

import "strings"

// Extended attributes by which layers say what they do to the layers below: in a tree
// opaque directories alone, in the images of layers all the marks of Entry.
const (
	OverlayPrefix = "trusted.overlay." // overlayfs obeys them
	MarkPrefix    = "trusted.ocipipe." // marks that overlayfs has no attribute for

	userOverlayPrefix = "user.overlay." // overlayfs obeys them if it is mounted with userxattr
)

// Opaque is the extended attribute, as overlayfs has it, of a directory that
// hides what lower layers put there.
var Opaque = Xattr{Name: OverlayPrefix + "opaque", Value: "y"}

// SteersOverlay reports whether overlayfs may obey the extended attribute called name.
func SteersOverlay(name string) bool {
	return strings.HasPrefix(name, OverlayPrefix) || strings.HasPrefix(name, userOverlayPrefix)
}

// IsMark reports whether the extended attribute called name is that of a mark: of
// overlayfs or of the images of layers.
func IsMark(name string) bool {
	return SteersOverlay(name) || strings.HasPrefix(name, MarkPrefix)
}

// IsWhiteout reports whether e deletes its name from the layers below.
func (e *Entry) IsWhiteout() bool {
	return e.Type == Char && e.Dev == Device{}
}

// IsOpaque reports whether e is a directory that hides what the layers below
// hold in it.
func (e *Entry) IsOpaque() bool {
	v, ok := e.Xattr(Opaque.Name)
	return ok && v == Opaque.Value && e.Type == Dir
}
