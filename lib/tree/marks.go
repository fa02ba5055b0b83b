package tree

import "strings"

// Prefixes of extended attributes that say what a layer does to the layers below. A tree has
// only that of opaque directories; the images of layers have one for each mark of Entry.
const (
	OverlayPrefix = "trusted.overlay." // attributes that overlayfs obeys
	MarkPrefix    = "trusted.ocipipe." // marks that overlayfs has no attribute for

	userOverlayPrefix = "user.overlay." // attributes that overlayfs obeys if it is mounted with userxattr
)

// Opaque is the extended attribute of an opaque directory, in the form of overlayfs: the
// directory hides what the layers below have in it.
var Opaque = Xattr{Name: OverlayPrefix + "opaque", Value: "y"}

// SteersOverlay reports whether overlayfs may obey the extended attribute name.
func SteersOverlay(name string) bool {
	return strings.HasPrefix(name, OverlayPrefix) || strings.HasPrefix(name, userOverlayPrefix)
}

// IsMark reports whether the extended attribute name is a mark of overlayfs or of the images
// of layers.
func IsMark(name string) bool {
	return SteersOverlay(name) || strings.HasPrefix(name, MarkPrefix)
}

// IsWhiteout reports whether e deletes its name from the layers below.
func (e *Entry) IsWhiteout() bool {
	return e.Type == Char && e.Dev == Device{}
}

// IsOpaque reports whether e is a directory that hides what the layers below have in it.
func (e *Entry) IsOpaque() bool {
	v, ok := e.Xattr(Opaque.Name)
	return ok && v == Opaque.Value && e.Type == Dir
}
