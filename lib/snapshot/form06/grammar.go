package form06

import (
	"bytes"
	"fmt"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/integrity"
)

// Grammar reads archives of this form. The zero value is ready.
type Grammar struct {
	// Check may refuse a snapshot by what its descriptor says; nil refuses none.
	Check func(*form.Info) error

	descriptors map[digest.Digest]*Descriptor
	inventory   *Inventory
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
	case name.Kind == KindMetadata:
		return form.ImageMeta, name.Kind, nil
	case name.Kind == KindObject:
		return form.Image, name.Kind, nil
	}
	return form.Meta, name.Kind, nil
}

// Take implements form.Grammar.
func (g *Grammar) Take(name string, data []byte) (err error) {
	if name == InventoryName {
		g.inventory, err = DecodeInventory(data)
		return err
	}
	id := mustParse(name).Owner
	if digest.FromBytes(data) != id {
		return fault.Corrupt("its SHA-256 is not the identity in its path")
	}
	d, err := Decode(data)
	if err != nil {
		return err
	}
	if !bytes.Equal(d.Encode(), data) {
		return fault.Corrupt("the JSON is not in its canonical form")
	}
	if g.descriptors == nil {
		g.descriptors = map[digest.Digest]*Descriptor{}
	}
	g.descriptors[id] = d
	if g.Check != nil {
		info := d.Info()
		return g.Check(&info)
	}
	return nil
}

// Integrity implements form.Grammar.
func (g *Grammar) Integrity(name string) (*integrity.Sum, bool) {
	d := g.descriptors[mustParse(name).Owner]
	if d == nil || d.File == nil {
		return nil, false
	}
	return d.File.Integrity, true
}

// mustParse parses a name that Classify has accepted.
func mustParse(path string) Name {
	name, err := ParseName(path)
	if err != nil {
		panic(err)
	}
	return name
}

// Finish implements form.Grammar. An archive without an inventory is one of an older
// version, whose head is the snapshot that is nobody's parent.
func (g *Grammar) Finish(members []*form.Received, ended bool) (*form.Contents, error) {
	byName := map[string]*form.Received{}
	for _, m := range members {
		byName[m.Name] = m
	}
	if g.inventory == nil && !ended {
		return nil, fault.Corrupt("cut short: there is no %s, and no end of the tar", InventoryName)
	}
	if g.inventory != nil {
		if err := g.inventory.match(byName); err != nil {
			return nil, fmt.Errorf("%s: %w", InventoryName, err)
		}
	}
	if err := g.bind(byName); err != nil {
		return nil, err
	}
	head, err := g.head()
	if err != nil {
		return nil, err
	}
	c := &form.Contents{Head: head.String(), Image: form.ImageNames(members)}
	if g.inventory != nil && g.inventory.SuggestedName != nil {
		c.Name = *g.inventory.SuggestedName
	}
	order, err := form.Order(g.parents(), head)
	if err != nil {
		return nil, err
	}
	for _, id := range order {
		c.Snapshots = append(c.Snapshots, g.snapshot(id))
	}
	return c, nil
}

// match compares the inventory with the members that were read.
func (v *Inventory) match(members map[string]*form.Received) error {
	listed := map[string]bool{InventoryName: true}
	for i := range v.Entries {
		e := &v.Entries[i]
		m := members[e.Path]
		switch {
		case m == nil && e.Included:
			return fault.Corrupt("%s is missing in the archive", e.Path)
		case m == nil:
			continue
		case !e.Included:
			return fault.Corrupt("%s is in the archive, but should not be", e.Path)
		}
		if err := m.Check(e.Encoded, e.Apparent, e.Transport, e.Integrity); err != nil {
			return err
		}
		listed[e.Path] = true
	}
	for name := range members {
		if !listed[name] {
			return fault.Corrupt("%s is in the archive, but not listed", name)
		}
	}
	return nil
}

// bind compares descriptors with disks, and both with the inventory.
func (g *Grammar) bind(members map[string]*form.Received) error {
	for name, m := range members {
		if m.Role != form.Bulk {
			continue
		}
		n := mustParse(name)
		if d := g.descriptors[n.Owner]; d == nil || d.File == nil || d.File.Name != n.File {
			return fault.Corrupt("%s belongs to no snapshot of the archive", name)
		}
	}
	for id, d := range g.descriptors {
		if d.File == nil {
			continue
		}
		m := members[PayloadPath(id, d.File.Name)]
		switch {
		case m == nil:
			return fault.Corrupt("%s is missing in the archive", PayloadPath(id, d.File.Name))
		case m.Size != d.File.Size:
			return fault.Corrupt("%s has %d bytes, its descriptor says %d", m.Name, m.Size, d.File.Size)
		}
	}
	if g.inventory == nil {
		return nil
	}
	if len(g.inventory.Snapshots) != len(g.descriptors) {
		return fault.Corrupt("%s: it lists %d snapshots, the archive has %d", InventoryName, len(g.inventory.Snapshots), len(g.descriptors))
	}
	for _, id := range g.inventory.Snapshots {
		if g.descriptors[id] == nil {
			return fault.Corrupt("%s is missing in the archive", DescriptorPath(id))
		}
	}
	for i := range g.inventory.Entries {
		e := &g.inventory.Entries[i]
		if d := g.descriptors[e.Owner]; e.Kind == KindPayload && e.Included && !e.Integrity.Equal(d.File.Integrity) {
			return fault.Corrupt("%s: %s: integrity is not that of the descriptor", InventoryName, e.Path)
		}
	}
	return nil
}

// head returns the identity of the head.
func (g *Grammar) head() (digest.Digest, error) {
	if g.inventory != nil {
		if g.descriptors[g.inventory.Head] == nil {
			return "", fault.Corrupt("%s: the head %s is not in the archive", InventoryName, g.inventory.Head)
		}
		return g.inventory.Head, nil
	}
	parents := map[digest.Digest]bool{}
	for _, d := range g.descriptors {
		parents[d.Parent] = true
	}
	head := digest.Digest("")
	for id := range g.descriptors {
		if !parents[id] {
			if head != "" {
				return "", fault.Corrupt("there is no %s, and more than one snapshot is nobody's parent", InventoryName)
			}
			head = id
		}
	}
	if head == "" {
		return "", fault.Corrupt("no snapshot in the archive")
	}
	return head, nil
}

// parents returns the parent of each snapshot.
func (g *Grammar) parents() map[digest.Digest]digest.Digest {
	parents := map[digest.Digest]digest.Digest{}
	for id, d := range g.descriptors {
		parents[id] = d.Parent
	}
	return parents
}

func (g *Grammar) snapshot(id digest.Digest) *form.Snapshot {
	d := g.descriptors[id]
	s := &form.Snapshot{Info: d.Info(), Dir: hexOf(id), Files: []form.File{{Name: DescriptorName, Data: d.Encode()}}}
	if d.File != nil {
		s.Files = append(s.Files, form.File{Name: d.File.Name, Member: PayloadPath(id, d.File.Name)})
	}
	return s
}
