package tree

import (
	"errors"
	"fmt"
	"slices"
)

// Difference returns an error that names the first thing in which have, read back from
// where something was written ("the image"), is not want; nil if there is none. Paths,
// extents and contents are not compared.
func Difference(want, have *Entry, where string) error {
	differs := func(what string, want, have any) error {
		return fmt.Errorf("%s: %v in %s, %v was added", what, have, where, want)
	}
	switch a, b := want, have; {
	case a.Type != b.Type:
		return differs("type", a.Type, b.Type)
	case a.Hardlink != b.Hardlink:
		return differs("hard link", a.Hardlink, b.Hardlink)
	case !sameLower(a.Lower, b.Lower) || a.NoChange != b.NoChange:
		return errors.New("mark of a layer differs")
	case !slices.Equal(a.Xattrs, b.Xattrs):
		return differs("xattrs", a.Xattrs, b.Xattrs)
	case a.Mode != b.Mode && !a.NoChange:
		return differs("mode", a.Mode, b.Mode)
	case (a.UID != b.UID || a.GID != b.GID) && !a.NoChange:
		return differs("owner", [2]uint32{a.UID, a.GID}, [2]uint32{b.UID, b.GID})
	case a.Time != b.Time && !a.NoChange:
		return differs("time", a.Time, b.Time)
	case a.Nlink != b.Nlink:
		return differs("number of links", a.Nlink, b.Nlink)
	case a.Size != b.Size:
		return differs("size", a.Size, b.Size)
	case a.Link != b.Link:
		return differs("link target", a.Link, b.Link)
	case a.Dev != b.Dev:
		return differs("device", a.Dev, b.Dev)
	}
	return nil
}

func sameLower(a, b *Lower) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Else == b.Else && slices.Equal(a.Targets, b.Targets)
}
