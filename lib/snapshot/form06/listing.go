package form06

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/integrity"
)

// Listing implements form.Listing. The zero value is ready.
type Listing struct{ inventory Inventory }

// Pack implements form.Listing.
func (l *Listing) Pack(s form.Source) (*form.Packed, error) {
	if s.Form != Form {
		return nil, fault.Unsupported("a snapshot of form %s cannot be put into form %s", s.Form, Form)
	}
	d, err := Decode(s.Descriptor)
	if err != nil {
		return nil, err
	}
	id := digest.FromBytes(s.Descriptor)
	p := &form.Packed{
		Info:    d.Info(),
		Members: []form.Small{{Name: DescriptorPath(id), Kind: KindDescriptor, Data: s.Descriptor}},
		Files:   []form.File{{Name: DescriptorName, Data: s.Descriptor}},
	}
	if d.File != nil {
		p.Disk, p.Path, p.Kind = &p.Disks[0], PayloadPath(id, d.File.Name), KindPayload
	}
	return p, nil
}

// List implements form.Listing.
func (l *Listing) List(e archive.Entry, id string, sum *integrity.Sum) {
	owner := digest.Digest(id)
	if e.Kind == KindDescriptor {
		l.inventory.Snapshots = append(l.inventory.Snapshots, owner)
		sum = &integrity.Sum{Algorithm: integrity.SHA256, Digest: id, Size: e.Size}
	}
	l.inventory.WithImage = l.inventory.WithImage || e.Kind == KindMetadata
	l.inventory.Entries = append(l.inventory.Entries, Entry{
		Path: e.Name, Owner: owner, Kind: e.Kind, Included: true, Encoded: e.Stored, Apparent: e.Size,
		Integrity: sum, Transport: e.Transport,
	})
}

// MaxRuns implements form.Listing. The inventory does not list runs.
func (l *Listing) MaxRuns() int { return archive.MaxRuns }

// Inventory implements form.Listing.
func (l *Listing) Inventory(head, name string, parents bool) (string, []byte) {
	inv := &l.inventory
	inv.Head, inv.Requires, inv.WithParents = digest.Digest(head), []string{archive.Transport}, parents
	if name != "" {
		inv.SuggestedName = &name
	}
	slices.Sort(inv.Snapshots)
	slices.SortFunc(inv.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return InventoryName, inv.Encode()
}
