package form07

import (
	"ocipipe/lib/snapshot/form"
)

// Form is the name of this form.
const Form = "0.7"

// Info returns what the descriptor says of a snapshot with the labels.
func (d *Descriptor) Info(labels map[string]string) form.Info {
	info := form.Info{
		Form: Form, ID: d.ID, Digest: d.Digest(), CreatedAt: d.Capture.CreatedAt, Parent: d.Parent,
		Reference: d.Image.Ref, Manifest: d.Image.Manifest,
		Labels: labels, Extensions: d.Extensions, Requires: d.Requires,
	}
	if d.Capture.Lineage != nil {
		info.Source = *d.Capture.Lineage
	}
	for i := range d.Layers {
		l := &d.Layers[i]
		disk := form.Disk{Name: l.Path(), Format: l.Format, FSType: d.FSType, Size: l.Size, Integrity: l.Integrity}
		if l.Format != Raw {
			// Size is that of the disk, and of the file only a Merkle root has it.
			disk.Size = form.UnknownSize
			if s := l.Integrity; s != nil && s.Size != l.Size {
				disk.Size = s.Size
			}
		}
		info.Disks = append(info.Disks, disk)
	}
	return info
}
