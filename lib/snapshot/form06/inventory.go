package form06

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// InventoryName is the name of the inventory in an archive.
const InventoryName = "archive.json"

// MaxInventory is the longest inventory, in bytes.
const MaxInventory = 4 << 20

// The kinds of members that an inventory has.
const (
	KindDescriptor = "snapshot-descriptor"
	KindPayload    = "file-payload"
	KindMetadata   = "image-metadata"
	KindObject     = "image-object"
)

const (
	archiveArtifact = "snapshot-archive"
	completeness    = "boot-complete"
)

// Inventory says what an archive has. Its JSON is canonical: keys have the order below, and
// other bytes for the same inventory are not accepted.
//
//	schema 1, artifact "snapshot-archive", head, suggested_name (or null), completeness
//	"boot-complete", with_parents, with_image, snapshots: snapshot_id, descriptor (a
//	path), ascending; entries: path, owner_snapshot (or null), kind, included,
//	encoded_size, apparent_size, integrity (or null), transport_integrity (may be
//	missing): algorithm, digest; ascending by path; protection_requirements, extensions,
//	requires
type Inventory struct {
	Head          digest.Digest
	SuggestedName *string
	WithParents   bool
	WithImage     bool
	Snapshots     []digest.Digest // ascending
	Entries       []Entry         // ascending by path
	Protection    *strictjson.Value
	Extensions    *strictjson.Value
	Requires      []string // archive.Transport, or nothing
}

// Entry is a member of the archive.
type Entry struct {
	Path      string
	Owner     digest.Digest // the snapshot, or ""
	Kind      string
	Included  bool
	Encoded   int64 // bytes that are stored
	Apparent  int64 // size of the file
	Integrity *integrity.Sum
	Transport string // hash of the member, or ""
}

// Encode returns the canonical bytes of the inventory.
func (v *Inventory) Encode() []byte {
	snapshots, entries := strictjson.List(), strictjson.List()
	for _, id := range v.Snapshots {
		snapshots.Items = append(snapshots.Items, strictjson.Record().
			Set("snapshot_id", strictjson.Str(id.String())).
			Set("descriptor", strictjson.Str(DescriptorPath(id))))
	}
	for i := range v.Entries {
		entries.Items = append(entries.Items, v.Entries[i].encode())
	}
	return strictjson.Append(nil, strictjson.Record().
		Set("schema", strictjson.Int(schema)).
		Set("artifact", strictjson.Str(archiveArtifact)).
		Set("head", strictjson.Str(v.Head.String())).
		Set("suggested_name", strictjson.Text(v.SuggestedName)).
		Set("completeness", strictjson.Str(completeness)).
		Set("with_parents", strictjson.Flag(v.WithParents)).
		Set("with_image", strictjson.Flag(v.WithImage)).
		Set("snapshots", snapshots).
		Set("entries", entries).
		Set("protection_requirements", orEmpty(v.Protection, strictjson.List())).
		Set("extensions", orEmpty(v.Extensions, strictjson.Map())).
		Set("requires", strictjson.Strs(v.Requires)))
}

func orEmpty(v, empty *strictjson.Value) *strictjson.Value {
	if v == nil {
		return empty
	}
	return v
}

func (e *Entry) encode() *strictjson.Value {
	owner := strictjson.Text(nil)
	if e.Owner != "" {
		owner = strictjson.Str(e.Owner.String())
	}
	v := strictjson.Record().
		Set("path", strictjson.Str(e.Path)).
		Set("owner_snapshot", owner).
		Set("kind", strictjson.Str(e.Kind)).
		Set("included", strictjson.Flag(e.Included)).
		Set("encoded_size", strictjson.Int(e.Encoded)).
		Set("apparent_size", strictjson.Int(e.Apparent)).
		Set("integrity", EncodeIntegrity(e.Integrity))
	return form.SetTransport(v, e.Transport)
}

// DecodeInventory reads an inventory and checks it.
func DecodeInventory(data []byte) (*Inventory, error) {
	v, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	if s := v.Get("schema"); s != nil && (s.Kind != strictjson.Number || s.Text != "1") {
		return nil, fault.Unsupported("byte %d: schema %.60q is not 1", s.Offset, s.Text)
	}
	inv := &Inventory{}
	if err := inv.decode(v); err != nil {
		return nil, err
	}
	if err := inv.check(); err != nil {
		return nil, err
	}
	if !bytes.Equal(inv.Encode(), data) {
		return nil, fault.Corrupt("the JSON is not in its canonical form")
	}
	return inv, nil
}

func (v *Inventory) decode(from *strictjson.Value) error {
	f, err := from.Fields("inventory", "schema", "artifact", "head", "suggested_name", "completeness", "with_parents", "with_image",
		"snapshots", "entries", "protection_requirements", "extensions", "requires")
	if err != nil {
		return err
	}
	r := reader{}
	r.Is(f[1], "artifact", archiveArtifact)
	v.Head = r.digest(f[2], "head")
	v.SuggestedName = r.TextOrNull(f[3], "suggested_name")
	r.Is(f[4], "completeness", completeness)
	v.WithParents = r.Bool(f[5], "with_parents")
	v.WithImage = r.Bool(f[6], "with_image")
	for _, item := range r.List(f[7], "snapshots") {
		if s := r.Fields(item, "snapshots", "snapshot_id", "descriptor"); s != nil {
			id := r.digest(s[0], "snapshots.snapshot_id")
			r.Is(s[1], "snapshots.descriptor", DescriptorPath(id))
			v.Snapshots = append(v.Snapshots, id)
		}
	}
	for _, item := range r.List(f[8], "entries") {
		v.Entries = append(v.Entries, r.entry(item))
	}
	v.Protection, v.Extensions = f[9], f[10]
	r.List(f[9], "protection_requirements")
	r.Object(f[10], "extensions")
	v.Requires = r.Texts(f[11], "requires")
	return r.Err
}

func (r *reader) entry(v *strictjson.Value) (e Entry) {
	f := r.Fields(v, "entries", "path", "owner_snapshot", "kind", "included", "encoded_size", "apparent_size", "integrity", "transport_integrity?")
	if f == nil {
		return e
	}
	e.Path = r.Text(f[0], "entries.path")
	if f[1].Kind != strictjson.Null {
		e.Owner = r.digest(f[1], "entries.owner_snapshot")
	}
	e.Kind, e.Included = r.Text(f[2], "entries.kind"), r.Bool(f[3], "entries.included")
	e.Encoded, e.Apparent = r.Int(f[4], "entries.encoded_size"), r.Int(f[5], "entries.apparent_size")
	sum, err := DecodeIntegrity(f[6], e.Apparent)
	r.Keep(err)
	e.Integrity = sum
	e.Transport = form.ReadTransport(&r.Reader, f[7])
	return e
}

// check checks what the inventory says by itself.
func (v *Inventory) check() error {
	if n := v.SuggestedName; n != nil && (*n == "" || len(*n) > 255 || strings.ContainsAny(*n, `/\`)) {
		return fault.Corrupt("suggested_name %.60q is not a name", *n)
	}
	for i := range v.Snapshots {
		if i > 0 && v.Snapshots[i-1] >= v.Snapshots[i] {
			return fault.Corrupt("snapshots are not ascending: %s", v.Snapshots[i])
		}
	}
	for i := range v.Entries {
		if i > 0 && v.Entries[i-1].Path >= v.Entries[i].Path {
			return fault.Corrupt("entries are not ascending: %.100q", v.Entries[i].Path)
		}
	}
	hashed, err := form.Hashed(v.Requires)
	if err != nil {
		return err
	}
	for i := range v.Entries {
		e := &v.Entries[i]
		if hashed && e.Included && e.Transport == "" {
			return fault.Corrupt("%s: transport_integrity is missing", e.Path)
		}
		if err := e.check(); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	return nil
}

// check compares an entry with what its path says.
func (e *Entry) check() error {
	name, err := ParseName(e.Path)
	switch {
	case err != nil:
		return err
	case name.Kind == "" || e.Kind != name.Kind:
		return fault.Corrupt("kind %.60q is not that of the path", e.Kind)
	case e.Owner != name.Owner:
		return fault.Corrupt("owner_snapshot is not that of the path")
	case e.Kind == KindPayload:
		return nil
	case e.Integrity == nil || e.Integrity.Algorithm != integrity.SHA256:
		return fault.Corrupt("integrity is not a sha256")
	case e.Kind == KindDescriptor && e.Integrity.Digest != e.Owner.String():
		return fault.Corrupt("integrity is not the identity of the snapshot")
	}
	return nil
}
