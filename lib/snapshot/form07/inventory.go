package form07

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

const (
	archiveSchema = "microsandbox.snapshot-archive/1"
	complete      = "boot-complete"
	dependent     = "dependent"

	// namesExtension has the names that snapshots have in their group, by identifier.
	namesExtension = "msb-snapshot-member-names"

	// MaxInventory is the length that an inventory stays below, in bytes.
	MaxInventory = 4 << 20

	// MaxRuns is how many runs all disks of an archive may have, so that the inventory,
	// which lists them, stays short enough: each takes up to 36 bytes.
	MaxRuns = 80000
)

// Inventory says what an archive has. Its JSON is canonical: keys have the order below, and
// other bytes for the same inventory are not accepted.
//
//	schema "microsandbox.snapshot-archive/1", head, suggested_name (missing, not null, if
//	there is none), completeness "boot-complete", members: snapshot_id, descriptor_path,
//	descriptor_digest, ascending; entries: path, owner_snapshot (or null), kind, included,
//	encoded_size, apparent_size, sparse_ranges, integrity (or null), transport_integrity
//	(may be missing): algorithm, digest; ascending by path; limits: entry_count,
//	encoded_bytes, apparent_bytes; extensions; requires
//
// sparse_ranges has the runs of a sparse member as the tar has them, [offset, length] each,
// and nothing for others. The limits are the sums of the entries.
//
// An archive with the completeness "dependent" leaves layers out. It is refused.
type Inventory struct {
	Head          string
	SuggestedName string // "" for none
	Members       []Member
	Entries       []Entry // ascending by path
	Extensions    *strictjson.Value
	Requires      []string // archive.Transport, or nothing
}

// Member is a snapshot in an archive.
type Member struct {
	ID     string
	Digest digest.Digest // of the descriptor
}

// Entry is a file in an archive.
type Entry struct {
	Path      string
	Owner     string // the snapshot, or ""
	Kind      string
	Encoded   int64 // bytes that are stored
	Apparent  int64 // size of the file
	Runs      []archive.Run
	Integrity *integrity.Sum
	Transport string // hash of the member, or ""
}

// Encode returns the canonical bytes of the inventory.
func (v *Inventory) Encode() []byte {
	members, entries := strictjson.List(), strictjson.List()
	for _, m := range v.Members {
		members.Items = append(members.Items, strictjson.Record().
			Set("snapshot_id", strictjson.Str(m.ID)).
			Set("descriptor_path", strictjson.Str(DescriptorPath(m.ID))).
			Set("descriptor_digest", strictjson.Str(m.Digest.String())))
	}
	for i := range v.Entries {
		entries.Items = append(entries.Items, v.Entries[i].encode())
	}
	extensions := v.Extensions
	if extensions == nil {
		extensions = strictjson.Map()
	}
	out := strictjson.Record().
		Set("schema", strictjson.Str(archiveSchema)).
		Set("head", strictjson.Str(v.Head))
	if v.SuggestedName != "" {
		out.Set("suggested_name", strictjson.Str(v.SuggestedName))
	}
	return strictjson.Append(nil, out.
		Set("completeness", strictjson.Str(complete)).
		Set("members", members).
		Set("entries", entries).
		Set("limits", v.limits()).
		Set("extensions", extensions).
		Set("requires", strictjson.Strs(v.Requires)))
}

func (v *Inventory) limits() *strictjson.Value {
	var encoded, apparent int64
	for i := range v.Entries {
		encoded, apparent = encoded+v.Entries[i].Encoded, apparent+v.Entries[i].Apparent
	}
	return strictjson.Record().
		Set("entry_count", strictjson.Int(int64(len(v.Entries)))).
		Set("encoded_bytes", strictjson.Int(encoded)).
		Set("apparent_bytes", strictjson.Int(apparent))
}

func (e *Entry) encode() *strictjson.Value {
	owner, runs := strictjson.Text(nil), strictjson.List()
	if e.Owner != "" {
		owner = strictjson.Str(e.Owner)
	}
	for _, r := range e.Runs {
		runs.Items = append(runs.Items, strictjson.List(strictjson.Int(r.Off), strictjson.Int(r.Len)))
	}
	v := strictjson.Record().
		Set("path", strictjson.Str(e.Path)).
		Set("owner_snapshot", owner).
		Set("kind", strictjson.Str(e.Kind)).
		Set("included", strictjson.Flag(true)).
		Set("encoded_size", strictjson.Int(e.Encoded)).
		Set("apparent_size", strictjson.Int(e.Apparent)).
		Set("sparse_ranges", runs).
		Set("integrity", form06.EncodeIntegrity(e.Integrity))
	return form.SetTransport(v, e.Transport)
}

// Names returns the names that snapshots have in their group, by identifier.
func (v *Inventory) Names() (map[string]string, error) {
	names := map[string]string{}
	if CheckName(v.SuggestedName) == nil {
		names[v.Head] = v.SuggestedName
	}
	var r reader
	if x := v.Extensions.Get(namesExtension); x != nil {
		for id, item := range r.Object(x, namesExtension) {
			names[id] = r.Text(item, namesExtension)
			r.Keep(CheckName(names[id]))
		}
	}
	return names, r.Err
}

// SetNames sets what Names returns.
func (v *Inventory) SetNames(names map[string]string) {
	v.SuggestedName, v.Extensions = names[v.Head], strictjson.Map()
	if len(names) == 0 {
		return
	}
	ext := strictjson.Map()
	for id, name := range names {
		ext.Set(id, strictjson.Str(name))
	}
	v.Extensions.Set(namesExtension, ext)
}

// DecodeInventory reads an inventory and checks it.
func DecodeInventory(data []byte) (*Inventory, error) {
	if len(data) >= MaxInventory {
		return nil, fault.Unsupported("has not less than %d bytes", MaxInventory)
	}
	v, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	if s := v.Get("schema"); s != nil {
		if err := s.Is("schema", archiveSchema); err != nil {
			return nil, err
		}
	}
	if c := v.Get("completeness"); c != nil && c.Kind == strictjson.String && c.Text == dependent {
		return nil, fault.Unsupported("the archive leaves out layers that another one has (--since, --last-layers): it is a chain of layers with parts missing")
	}
	inv := &Inventory{}
	if err := inv.decode(v); err != nil {
		return nil, err
	}
	if err := inv.check(); err != nil {
		return nil, err
	}
	if !bytes.Equal(inv.Encode(), data) {
		return nil, fault.Corrupt("the JSON is not in its canonical form, or its limits are not those of its entries")
	}
	return inv, nil
}

func (v *Inventory) decode(from *strictjson.Value) error {
	f, err := from.Fields("inventory", "schema", "head", "suggested_name?", "completeness", "members", "entries", "limits", "extensions", "requires")
	if err != nil {
		return err
	}
	r := reader{}
	v.Head = r.id(f[1], "head", snapshotPrefix)
	if f[2] != nil {
		if v.SuggestedName = r.Text(f[2], "suggested_name"); v.SuggestedName == "" {
			r.Keep(f[2].Fault("suggested_name", "is empty"))
		}
	}
	r.Is(f[3], "completeness", complete)
	for _, item := range r.List(f[4], "members") {
		v.Members = append(v.Members, r.member(item))
	}
	for _, item := range r.List(f[5], "entries") {
		v.Entries = append(v.Entries, r.entry(item))
	}
	v.Extensions = f[7]
	r.Object(f[7], "extensions")
	v.Requires = r.Texts(f[8], "requires")
	return r.Err
}

func (r *reader) member(v *strictjson.Value) (m Member) {
	if f := r.Fields(v, "members", "snapshot_id", "descriptor_path", "descriptor_digest"); f != nil {
		m.ID = r.id(f[0], "members.snapshot_id", snapshotPrefix)
		r.Is(f[1], "members.descriptor_path", DescriptorPath(m.ID))
		m.Digest = digest.Digest(r.Text(f[2], "members.descriptor_digest"))
	}
	return m
}

func (r *reader) entry(v *strictjson.Value) (e Entry) {
	f := r.Fields(v, "entries", "path", "owner_snapshot", "kind", "included", "encoded_size", "apparent_size",
		"sparse_ranges", "integrity", "transport_integrity?")
	if f == nil {
		return e
	}
	e.Path = r.Text(f[0], "entries.path")
	if f[1].Kind != strictjson.Null {
		e.Owner = r.id(f[1], "entries.owner_snapshot", snapshotPrefix)
	}
	e.Kind = r.Text(f[2], "entries.kind")
	if !r.Bool(f[3], "entries.included") {
		r.Keep(f[3].Fault("entries.included", "a complete archive leaves nothing out"))
	}
	e.Encoded, e.Apparent = r.Int(f[4], "entries.encoded_size"), r.Int(f[5], "entries.apparent_size")
	e.Runs = r.runs(f[6])
	sum, err := form06.DecodeIntegrity(f[7], e.Apparent)
	r.Keep(err)
	e.Integrity = sum
	e.Transport = form.ReadTransport(&r.Reader, f[8])
	return e
}

func (r *reader) runs(v *strictjson.Value) (runs []archive.Run) {
	const where = "entries.sparse_ranges"
	for _, item := range r.List(v, where) {
		pair := r.List(item, where)
		if len(pair) != 2 {
			r.Keep(item.Fault(where, "has %d items, not 2", len(pair)))
			return nil
		}
		runs = append(runs, archive.Run{Off: r.Int(pair[0], where), Len: r.Int(pair[1], where)})
	}
	return runs
}

// check checks what the inventory says by itself.
func (v *Inventory) check() error {
	if n := v.SuggestedName; len(n) > 255 || strings.ContainsAny(n, `/\`) {
		return fault.Corrupt("suggested_name %.60q is not a name", n)
	}
	digests := map[string]digest.Digest{}
	for i, m := range v.Members {
		if i > 0 && v.Members[i-1].ID >= m.ID {
			return fault.Corrupt("members are not ascending: %s", m.ID)
		}
		digests[m.ID] = m.Digest
	}
	names, err := v.Names()
	if err != nil {
		return err
	}
	owners := map[string]string{}
	for id, name := range names {
		switch {
		case digests[id] == "":
			return fault.Corrupt("%s: names %.80q, which is not in the archive", namesExtension, id)
		case owners[name] != "":
			return fault.Corrupt("%s: two snapshots have the name %.80q", namesExtension, name)
		}
		owners[name] = id
	}
	hashed, err := form.Hashed(v.Requires)
	if err != nil {
		return err
	}
	for i := range v.Entries {
		e := &v.Entries[i]
		switch {
		case i > 0 && v.Entries[i-1].Path >= e.Path:
			return fault.Corrupt("entries are not ascending: %.100q", e.Path)
		case hashed && e.Transport == "":
			return fault.Corrupt("%s: transport_integrity is missing", e.Path)
		}
		if err := e.check(digests); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	return nil
}

// check compares an entry with what its path says, and with the digests of descriptors.
func (e *Entry) check(descriptors map[string]digest.Digest) error {
	name, err := ParseName(e.Path)
	switch {
	case err != nil:
		return err
	case name.Kind == "" || e.Kind != name.Kind:
		return fault.Corrupt("kind %.60q is not that of the path", e.Kind)
	case e.Kind == KindPayload:
		if descriptors[e.Owner] == "" {
			return fault.Corrupt("owner_snapshot is not in the archive")
		}
		return nil
	case e.Owner != name.Snapshot:
		return fault.Corrupt("owner_snapshot is not that of the path")
	case e.Owner != "" && descriptors[e.Owner] == "":
		return fault.Corrupt("owner_snapshot is not in the archive")
	case e.Integrity == nil || e.Integrity.Algorithm != integrity.SHA256:
		return fault.Corrupt("integrity is not a sha256")
	case len(e.Runs) > 0:
		return fault.Corrupt("sparse_ranges of what is not a disk")
	case e.Kind == KindDescriptor && e.Integrity.Digest != descriptors[e.Owner].String():
		return fault.Corrupt("integrity is not the digest of the descriptor")
	}
	return nil
}
