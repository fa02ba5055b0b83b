package form07

import (
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form06"
)

// Convert returns the descriptor and the labels that a snapshot of form 0.6 has in this
// form. They are what msb 0.7 makes of it, but that it refuses extensions. The identifiers
// are the halves of the old identity.
func Convert(old *form06.Descriptor) (*Descriptor, map[string]string, error) {
	if old.File == nil {
		return nil, nil, fault.Unsupported("a snapshot whose state is not a file has no form in 0.7")
	}
	created, err := Time(old.CreatedAt)
	if err != nil {
		return nil, nil, err
	}
	id := old.ID()
	d := &Descriptor{
		ID:     SnapshotID(id),
		Image:  old.Image,
		Layout: Managed,
		Capture: Capture{
			CreatedAt: created, Consistency: CrashConsistent, Lineage: old.Source,
		},
		FSType:     old.File.FSType,
		Layers:     []Layer{{ID: LayerID(id), Format: old.File.Format, Size: old.File.Size, Integrity: old.File.Integrity}},
		Extensions: old.Extensions,
		Requires:   old.Requires,
	}
	if old.Parent != "" {
		d.Parent = SnapshotID(old.Parent)
	}
	if err := d.Check(); err != nil {
		return nil, nil, err
	}
	if n := len(d.Encode()); n > MaxDescriptor {
		return nil, nil, fault.Unsupported("the descriptor has %d bytes, more than the %d of form 0.7", n, MaxDescriptor)
	}
	return d, old.Labels, nil
}

// SetParent makes d, which is the conversion of old, a child of a snapshot that has only an
// identifier of this form. That of d then depends on it too.
func (d *Descriptor) SetParent(parent string, old *form06.Descriptor) error {
	id := digest.FromBytes(append(old.Encode(), parent...))
	d.Parent, d.ID, d.Layers[0].ID = parent, SnapshotID(id), LayerID(id)
	return d.Check()
}
