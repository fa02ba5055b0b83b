package form06

import (
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// DescriptorName is the name of the descriptor in the directory of a snapshot.
const DescriptorName = "snapshot.json"

// MaxDescriptor is the longest descriptor that is read, in bytes.
const MaxDescriptor = 4 << 20

const (
	schema   = 1
	artifact = "snapshot"
)

// The scopes of a descriptor.
const (
	ScopeDisk      = "disk"
	ScopeResumable = "resumable"
)

// The formats of a disk.
const (
	Raw   = "raw"
	Qcow2 = "qcow2"
)

// Descriptor says what a snapshot is.
type Descriptor struct {
	Scope     string
	CreatedAt string        // as Time returns it
	Parent    digest.Digest // the identity of another snapshot, or ""
	Image     Image
	Source    *string // name of the sandbox that it was taken of

	// One of these is set.
	File       *File
	Checkpoint *Checkpoint

	Labels     map[string]string
	Extensions map[string]*strictjson.Value
	Requires   []string // keys of Extensions without which it cannot be restored, ascending
}

// Image is the image below the disk.
type Image struct {
	Ref      string
	Manifest digest.Digest
}

// File is the state of a snapshot that is a disk.
type File struct {
	Format    string
	FSType    string
	Name      string // in the directory of the snapshot
	Size      int64  // in bytes
	Integrity *integrity.Sum
}

// Checkpoint is the state of a snapshot that is kept elsewhere.
type Checkpoint struct {
	ID       string
	Manifest digest.Digest
}

// ID returns the identity of the snapshot. The descriptor must be valid.
func (d *Descriptor) ID() digest.Digest { return digest.FromBytes(d.Encode()) }

// Encode returns the canonical bytes of the descriptor, which must be valid.
func (d *Descriptor) Encode() []byte {
	parent := strictjson.Text(nil)
	if d.Parent != "" {
		parent = strictjson.Str(d.Parent.String())
	}
	labels, extensions := strictjson.Map(), strictjson.Map()
	for k, v := range d.Labels {
		labels.Set(k, strictjson.Str(v))
	}
	for k, v := range d.Extensions {
		extensions.Set(k, v)
	}
	return strictjson.Append(nil, strictjson.Record().
		Set("schema", strictjson.Int(schema)).
		Set("artifact", strictjson.Str(artifact)).
		Set("scope", strictjson.Str(d.Scope)).
		Set("created_at", strictjson.Str(d.CreatedAt)).
		Set("parent", parent).
		Set("image", strictjson.Record().
			Set("ref", strictjson.Str(d.Image.Ref)).
			Set("manifest_digest", strictjson.Str(d.Image.Manifest.String()))).
		Set("source_sandbox", strictjson.Text(d.Source)).
		Set("state", d.state()).
		Set("labels", labels).
		Set("extensions", extensions).
		Set("requires", strictjson.Strs(d.Requires)))
}

func (d *Descriptor) state() *strictjson.Value {
	if c := d.Checkpoint; c != nil {
		return strictjson.Record().
			Set("kind", strictjson.Str("checkpoint")).
			Set("checkpoint_id", strictjson.Str(c.ID)).
			Set("manifest", strictjson.Str(c.Manifest.String()))
	}
	return strictjson.Record().
		Set("kind", strictjson.Str("file")).
		Set("format", strictjson.Str(d.File.Format)).
		Set("fstype", strictjson.Str(d.File.FSType)).
		Set("upper", strictjson.Record().
			Set("file", strictjson.Str(d.File.Name)).
			Set("size_bytes", strictjson.Int(d.File.Size)).
			Set("integrity", EncodeIntegrity(d.File.Integrity)))
}
