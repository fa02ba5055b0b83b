package form06

import (
	"ocipipe/lib/snapshot/form"
)

// Form is the name of this form.
const Form = "0.6"

// Info returns what the descriptor says.
func (d *Descriptor) Info() form.Info {
	id := d.ID()
	info := form.Info{
		Form: Form, ID: id.String(), Digest: id, CreatedAt: d.CreatedAt, Parent: d.Parent.String(),
		Reference: d.Image.Ref, Manifest: d.Image.Manifest,
		Labels: d.Labels, Extensions: d.Extensions, Requires: d.Requires,
	}
	if d.Source != nil {
		info.Source = *d.Source
	}
	if f := d.File; f != nil {
		info.Disks = []form.Disk{{Name: f.Name, Format: f.Format, FSType: f.FSType, Size: f.Size, Integrity: f.Integrity}}
	}
	return info
}
