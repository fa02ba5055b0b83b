package form07

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/integrity"
)

// Listing implements form.Listing. It takes snapshots of form 0.6 too, and converts them.
// The zero value is ready.
type Listing struct {
	inventory Inventory
	digests   map[string]digest.Digest // of small members, by path
	names     map[string]string        // in the group, by identifier
}

// Pack implements form.Listing. The disk must be one raw file.
func (l *Listing) Pack(s form.Source) (*form.Packed, error) {
	d, labels, err := decodeSource(s)
	if err != nil {
		return nil, err
	}
	if len(d.Layers) > 1 || d.Layers[0].Format != Raw {
		return nil, fault.Unsupported("a chain of layers cannot be packed")
	}
	data, disk := d.Encode(), &d.Layers[0]
	p := &form.Packed{
		Info:    d.Info(labels),
		Members: []form.Small{{Name: DescriptorPath(d.ID), Kind: KindDescriptor, Data: data}},
		Files:   []form.File{{Name: DescriptorName, Data: data}},
		Path:    disk.Path(), Kind: KindPayload,
	}
	p.Disk = &p.Disks[0]
	if len(labels) > 0 {
		file, err := EncodeLabels(labels)
		if err != nil {
			return nil, err
		}
		p.Members = append(p.Members, form.Small{Name: LabelsPath(d.ID), Kind: KindLabels, Data: file})
		p.Files = append(p.Files, form.File{Name: LabelsName, Data: file})
	}
	if s.Name != "" {
		if err := CheckName(s.Name); err != nil {
			return nil, err
		}
		p.Files = append(p.Files, form.File{Name: MemberName, Data: EncodeMember(s.Name)})
	}
	l.remember(p, s.Name)
	return p, nil
}

// remember keeps what List and Inventory need of a snapshot.
func (l *Listing) remember(p *form.Packed, name string) {
	if l.digests == nil {
		l.digests, l.names = map[string]digest.Digest{}, map[string]string{}
	}
	for _, m := range p.Members {
		l.digests[m.Name] = digest.FromBytes(m.Data)
	}
	if name != "" {
		l.names[p.ID] = name
	}
}

// decodeSource returns the descriptor and the labels in this form.
func decodeSource(s form.Source) (*Descriptor, map[string]string, error) {
	if s.Form == Form {
		d, err := Decode(s.Descriptor)
		return d, s.Labels, err
	}
	old, err := form06.Decode(s.Descriptor)
	if err != nil {
		return nil, nil, err
	}
	return Convert(old)
}

// List implements form.Listing.
func (l *Listing) List(e archive.Entry, id string, sum *integrity.Sum) {
	if d, ok := l.digests[e.Name]; ok {
		sum = &integrity.Sum{Algorithm: integrity.SHA256, Digest: d.String(), Size: e.Size}
		if e.Kind == KindDescriptor {
			l.inventory.Members = append(l.inventory.Members, Member{id, d})
		}
	}
	l.inventory.Entries = append(l.inventory.Entries, Entry{
		Path: e.Name, Owner: id, Kind: e.Kind, Encoded: e.Stored, Apparent: e.Size, Runs: e.Runs,
		Integrity: sum, Transport: e.Transport,
	})
}

// MaxRuns implements form.Listing.
func (l *Listing) MaxRuns() int { return MaxRuns }

// Inventory implements form.Listing. The name becomes that of the head in its group, if it
// may be one.
func (l *Listing) Inventory(head, name string, _ bool) (string, []byte) {
	inv := &l.inventory
	inv.Head, inv.Requires = head, []string{archive.Transport}
	if CheckName(name) == nil {
		l.names[head] = name
	}
	inv.SetNames(l.names)
	if name != "" {
		inv.SuggestedName = name
	}
	slices.SortFunc(inv.Members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(inv.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return InventoryName, inv.Encode()
}
