package layer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"ocipipe/lib/tree"
)

// keepXattrs gives e the attributes of h, except for those that a layer may not carry.
func (l *Reader) keepXattrs(h *header, e *tree.Entry) {
	for _, x := range h.xattrs {
		if !tree.IsMark(x.Name) { // a layer may not make marks of overlayfs itself
			e.Xattrs = append(e.Xattrs, x)
			continue
		}
		if l.dropped++; l.dropped == 1 && l.opts.Warn != nil {
			l.opts.Warn(fmt.Sprintf("%s: extended attribute %s dropped: a layer may not steer overlayfs", e.Path, x.Name))
		}
	}
}

// checkXattr returns the attribute, or an error if a tree cannot have it.
func checkXattr(name, value string) (tree.Xattr, error) {
	x := tree.Xattr{Name: name, Value: value}
	if name == "" || len(name) > tree.MaxName || strings.IndexByte(name, 0) >= 0 {
		return x, errors.New("xattr name is empty, has a NUL, or is over 255 bytes")
	}
	if len(value) > tree.MaxValue {
		return x, fmt.Errorf("xattr value of %d bytes, over %d", len(value), tree.MaxValue)
	}
	return x, nil
}

// schilyXattr adds an attribute in star's form. If a name comes twice, the last counts.
func (h *header) schilyXattr(name, value string) error {
	x, err := checkXattr(name, value)
	h.xattrs = append(h.xattrs, x)
	return err
}

// libarchiveXattr adds an attribute in libarchive's form: the name in URL
// encoding, the value in base64, padded or not.
func (h *header) libarchiveXattr(name, value string) error {
	name, err := url.PathUnescape(name)
	if err != nil {
		return err
	}
	v, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return errors.New("value is not base64")
	}
	x, err := checkXattr(name, string(v))
	h.libarchive = append(h.libarchive, x)
	return err
}

// sortXattrs sorts the attributes by the bytes of their names, and keeps each name once. If
// a tar has a name in both forms, as libarchive writes it, the SCHILY form counts.
func (h *header) sortXattrs() {
	slices.Reverse(h.libarchive) // the first of these counts
	all := append(h.libarchive, h.xattrs...)
	slices.SortStableFunc(all, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	h.xattrs = nil
	for i, x := range all {
		if i+1 == len(all) || all[i+1].Name != x.Name {
			h.xattrs = append(h.xattrs, x)
		}
	}
}
