package form07

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/integrity"
)

// Grammar reads archives of this form. The zero value is ready.
type Grammar struct {
	// Check may refuse a snapshot by what its descriptor says; nil refuses none.
	Check func(*form.Info) error

	descriptors map[string]*Descriptor
	layers      map[string]*integrity.Sum // of a descriptor that has the layer, by path
	labels      map[string]labelled
	inventory   *Inventory
}

// labelled are labels, and the file that they were read from.
type labelled struct {
	labels map[string]string
	data   []byte
}

// CheckDir implements form.Grammar.
func (g *Grammar) CheckDir(name string) error { return CheckDir(name) }

// Classify implements form.Grammar.
func (g *Grammar) Classify(m *archive.Member) (form.Role, string, error) {
	name, err := ParseName(m.Name)
	switch {
	case err != nil:
		return 0, "", err
	case name.Kind == KindPayload:
		return form.Bulk, name.Kind, nil
	case name.Kind == form06.KindMetadata:
		return form.ImageMeta, name.Kind, nil
	case name.Snapshot == "" && name.Kind != "":
		return form.Image, name.Kind, nil
	}
	return form.Meta, name.Kind, nil
}

// Take implements form.Grammar.
func (g *Grammar) Take(path string, data []byte) (err error) {
	if path == InventoryName {
		g.inventory, err = DecodeInventory(data)
		return err
	}
	name := mustParse(path)
	if name.Kind == KindLabels {
		labels, err := DecodeLabels(data)
		if g.labels == nil {
			g.labels = map[string]labelled{}
		}
		g.labels[name.Snapshot] = labelled{labels, data}
		return err
	}
	d, err := Decode(data)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(d.Encode(), data):
		return fault.Corrupt("the JSON is not in its canonical form")
	case d.ID != name.Snapshot:
		return fault.Corrupt("snapshot_id is %s, not that in its path", d.ID)
	}
	if g.descriptors == nil {
		g.descriptors, g.layers = map[string]*Descriptor{}, map[string]*integrity.Sum{}
	}
	g.descriptors[d.ID] = d
	for i := range d.Layers {
		g.layers[d.Layers[i].Path()] = d.Layers[i].Integrity
	}
	if g.Check != nil {
		info := d.Info(nil)
		return g.Check(&info)
	}
	return nil
}

// Integrity implements form.Grammar.
func (g *Grammar) Integrity(path string) (*integrity.Sum, bool) {
	sum, known := g.layers[path]
	return sum, known
}

// mustParse parses a path that Classify has accepted.
func mustParse(path string) Name {
	name, err := ParseName(path)
	if err != nil {
		panic(err)
	}
	return name
}

// Finish implements form.Grammar. An archive has an inventory always.
func (g *Grammar) Finish(members []*form.Received, _ bool) (*form.Contents, error) {
	byName := map[string]*form.Received{}
	for _, m := range members {
		byName[m.Name] = m
	}
	if g.inventory == nil {
		return nil, fault.Corrupt("cut short: %s is missing", InventoryName)
	}
	if err := g.inventory.match(byName); err != nil {
		return nil, fmt.Errorf("%s: %w", InventoryName, err)
	}
	if err := g.bind(byName); err != nil {
		return nil, err
	}
	parents := map[string]string{}
	for id, d := range g.descriptors {
		parents[id] = d.Parent
	}
	order, err := form.Order(parents, g.inventory.Head)
	if err != nil {
		return nil, err
	}
	names, err := g.inventory.Names()
	if err != nil {
		return nil, err
	}
	c := &form.Contents{Head: g.inventory.Head, Name: g.inventory.SuggestedName, Image: form.ImageNames(members)}
	for _, id := range order {
		c.Snapshots = append(c.Snapshots, g.snapshot(id, names[id]))
	}
	return c, nil
}

// match compares the inventory with the members that were read.
func (v *Inventory) match(members map[string]*form.Received) error {
	listed := map[string]bool{InventoryName: true}
	for i := range v.Entries {
		e := &v.Entries[i]
		m := members[e.Path]
		listed[e.Path] = true
		switch {
		case m == nil:
			return fault.Corrupt("%s is missing in the archive", e.Path)
		case !slices.Equal(m.Runs, e.Runs):
			return fault.Corrupt("%s has another sparse map than sparse_ranges", e.Path)
		}
		if err := m.Check(e.Encoded, e.Apparent, e.Transport, e.Integrity); err != nil {
			return err
		}
	}
	for name := range members {
		if !listed[name] {
			return fault.Corrupt("%s is in the archive, but not listed", name)
		}
	}
	return nil
}

// bind compares descriptors with layers, and both with the inventory.
func (g *Grammar) bind(members map[string]*form.Received) error {
	inv := g.inventory
	for _, m := range inv.Members {
		// Its digest is that of its entry, which match has compared.
		if g.descriptors[m.ID] == nil {
			return fault.Corrupt("%s is missing in the archive", DescriptorPath(m.ID))
		}
	}
	if len(inv.Members) != len(g.descriptors) {
		return fault.Corrupt("%s: it lists %d snapshots, the archive has %d", InventoryName, len(inv.Members), len(g.descriptors))
	}
	if g.descriptors[inv.Head] == nil {
		return fault.Corrupt("%s: the head %s is not in the archive", InventoryName, inv.Head)
	}
	listed, used := map[string]*Entry{}, map[string]bool{}
	for i := range inv.Entries {
		listed[inv.Entries[i].Path] = &inv.Entries[i]
	}
	for _, id := range slices.Sorted(maps.Keys(g.descriptors)) {
		d := g.descriptors[id]
		for i := range d.Layers {
			if err := bindLayer(&d.Layers[i], members, listed); err != nil {
				return err
			}
			used[d.Layers[i].Path()] = true
		}
	}
	for i := range inv.Entries {
		e := &inv.Entries[i]
		if e.Kind == KindPayload && (!used[e.Path] || !g.descriptors[e.Owner].has(e.Path)) {
			return fault.Corrupt("%s does not belong to %s", e.Path, e.Owner)
		}
	}
	return nil
}

func (d *Descriptor) has(path string) bool {
	return slices.ContainsFunc(d.Layers, func(l Layer) bool { return l.Path() == path })
}

// bindLayer compares a layer with its member. All snapshots that have it agree about it.
func bindLayer(l *Layer, members map[string]*form.Received, listed map[string]*Entry) error {
	m := members[l.Path()]
	switch {
	case m == nil:
		return fault.Corrupt("%s is missing in the archive", l.Path())
	case l.Format == Raw && m.Size != l.Size:
		return fault.Corrupt("%s has %d bytes, its descriptor says %d", m.Name, m.Size, l.Size)
	}
	if !sameIntegrity(listed[l.Path()].Integrity, l.Integrity) {
		return fault.Corrupt("%s: %s: integrity is not that of the descriptor", InventoryName, l.Path())
	}
	return nil
}

// sameIntegrity reports whether both have the same digest. The size is that of the file in
// the one record, and may be that of the disk in the other.
func sameIntegrity(a, b *integrity.Sum) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Algorithm == b.Algorithm && a.Digest == b.Digest && (a.Algorithm != integrity.Merkle || a.Size == b.Size)
}

func (g *Grammar) snapshot(id, name string) *form.Snapshot {
	d := g.descriptors[id]
	s := &form.Snapshot{Info: d.Info(g.labels[id].labels), Dir: id, Files: []form.File{{Name: DescriptorName, Data: d.Encode()}}}
	if l, ok := g.labels[id]; ok {
		s.Files = append(s.Files, form.File{Name: LabelsName, Data: l.data})
	}
	if name != "" {
		s.Files = append(s.Files, form.File{Name: MemberName, Data: EncodeMember(name)})
	}
	for i := range d.Layers {
		path := d.Layers[i].Path()
		s.Files = append(s.Files, form.File{Name: path, Member: path})
	}
	return s
}
