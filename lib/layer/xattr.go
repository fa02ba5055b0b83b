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

// setXattr adds an extended attribute. Where a tar has it in both forms, as
// libarchive writes it, SCHILY's (override) counts.
func (h *header) setXattr(name, value string, override bool) error {
	if name == "" || len(name) > tree.MaxName || strings.IndexByte(name, 0) >= 0 {
		return errors.New("xattr name is empty, has a NUL, or is over 255 bytes")
	}
	if len(value) > tree.MaxValue {
		return fmt.Errorf("xattr value of %d bytes, over %d", len(value), tree.MaxValue)
	}
	i, found := slices.BinarySearchFunc(h.xattrs, name, func(x tree.Xattr, name string) int {
		return strings.Compare(x.Name, name)
	})
	if !found {
		h.xattrs = slices.Insert(h.xattrs, i, tree.Xattr{Name: name, Value: value})
	} else if override {
		h.xattrs[i].Value = value
	}
	return nil
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
	return h.setXattr(name, string(v), false)
}

// reserved reports whether an attribute steers overlayfs or this project, which
// no layer may do from inside.
func reserved(name string) bool {
	return strings.HasPrefix(name, "trusted.overlay.") ||
		strings.HasPrefix(name, "user.overlay.") ||
		strings.HasPrefix(name, "trusted.ocipipe.")
}
