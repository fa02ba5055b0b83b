package form

import (
	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// Check compares a member with what an inventory says of it. transport is "" if that has no
// hash of it, and sum counts for all but disks.
func (m *Received) Check(stored, size int64, transport string, sum *integrity.Sum) error {
	switch {
	case m.Stored != stored || m.Size != size:
		return fault.Corrupt("%s has %d bytes stored of %d, not %d of %d", m.Name, m.Stored, m.Size, stored, size)
	case transport != "" && m.Transport != transport:
		return fault.Corrupt("%s does not have the hash %s: it was damaged on its way", m.Name, transport)
	case m.Role != Bulk && sum.Digest != m.SHA256.String():
		return fault.Corrupt("%s does not have the %s", m.Name, sum.Digest)
	}
	return nil
}

// ImageNames returns the names of the members that belong to the image.
func ImageNames(members []*Received) (names []string) {
	for _, m := range members {
		if m.Role == Image || m.Role == ImageMeta {
			names = append(names, m.Name)
		}
	}
	return names
}

// Hashed reports whether an inventory that requires this has a hash of every member. There
// is nothing else that it may require.
func Hashed(requires []string) (bool, error) {
	if len(requires) > 1 || len(requires) == 1 && requires[0] != archive.Transport {
		return false, fault.Unsupported("the archive requires %.200q", requires)
	}
	return len(requires) == 1, nil
}

// SetTransport adds the hash of a member to its entry in an inventory, unless it is "".
func SetTransport(entry *strictjson.Value, transport string) *strictjson.Value {
	if transport == "" {
		return entry
	}
	return entry.Set("transport_integrity", strictjson.Record().
		Set("algorithm", strictjson.Str(archive.Transport)).
		Set("digest", strictjson.Str(transport)))
}

// ReadTransport reads what SetTransport adds; v is nil if it is missing.
func ReadTransport(r *strictjson.Reader, v *strictjson.Value) string {
	if v == nil {
		return ""
	}
	t := r.Fields(v, "entries.transport_integrity", "algorithm", "digest")
	if t == nil {
		return ""
	}
	r.Is(t[0], "entries.transport_integrity.algorithm", archive.Transport)
	return r.Text(t[1], "entries.transport_integrity.digest")
}

// CheckRequires checks that a descriptor requires only extensions that it has, ascending.
func CheckRequires(requires []string, extensions map[string]*strictjson.Value) error {
	for i, r := range requires {
		switch {
		case extensions[r] == nil || r == "":
			return fault.Corrupt("requires %.60q, which is not an extension", r)
		case i > 0 && requires[i-1] >= r:
			return fault.Corrupt("requires is not ascending: %.60q", r)
		}
	}
	return nil
}
