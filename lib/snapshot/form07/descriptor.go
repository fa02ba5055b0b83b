package form07

import (
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

const (
	schema = "microsandbox.snapshot/1"
	scope  = "file"

	// MaxDescriptor is the longest descriptor, in bytes.
	MaxDescriptor = 1 << 20

	maxLayers   = 256
	maxNesting  = 64 // of arrays and objects in the value of an extension
	fileRegular = "regular"
)

// The formats of a layer.
const (
	Raw   = form06.Raw
	Qcow2 = form06.Qcow2
)

// The states of the file system that a disk was taken in.
const (
	CrashConsistent       = "crash-consistent"
	FilesystemConsistent  = "filesystem-consistent"
	ApplicationConsistent = "application-consistent"
)

// The layouts of a disk.
const (
	Managed = "managed" // an upper of overlayfs
	Flat    = "flat"    // a root file system
)

// Descriptor says what a snapshot is.
type Descriptor struct {
	ID         string // SNAPSHOT
	Parent     string // another one, or ""
	Image      form06.Image
	Layout     string
	Capture    Capture
	FSType     string
	Layers     []Layer // oldest first
	Extensions map[string]*strictjson.Value
	Requires   []string // keys of Extensions without which it cannot be restored, ascending
}

// Capture says how a snapshot was taken.
type Capture struct {
	CreatedAt   string // as Time returns it
	Consistency string
	Lineage     *string // of which sandbox
	Checkpoint  *string // of which state of it
}

// Layer is a file of the disk.
type Layer struct {
	ID        string // LAYER
	Format    string
	Size      int64          // of the disk, in bytes
	Integrity *integrity.Sum // of the file
}

// Digest returns the digest of the descriptor, which must be valid.
func (d *Descriptor) Digest() digest.Digest { return digest.FromBytes(d.Encode()) }

// Encode returns the canonical bytes of the descriptor, which must be valid.
func (d *Descriptor) Encode() []byte {
	parent := strictjson.Text(nil)
	if d.Parent != "" {
		parent = strictjson.Str(d.Parent)
	}
	extensions := strictjson.Map()
	for k, v := range d.Extensions {
		extensions.Set(k, v)
	}
	return strictjson.AppendRFC8785(nil, strictjson.Map().
		Set("schema", strictjson.Str(schema)).
		Set("snapshot_id", strictjson.Str(d.ID)).
		Set("scope", strictjson.Str(scope)).
		Set("parent", parent).
		Set("image", strictjson.Map().
			Set("reference", strictjson.Str(d.Image.Ref)).
			Set("manifest_digest", strictjson.Str(d.Image.Manifest.String()))).
		Set("root_disk", strictjson.Map().Set("layout", strictjson.Str(d.Layout))).
		Set("capture", strictjson.Map().
			Set("created_at", strictjson.Str(d.Capture.CreatedAt)).
			Set("consistency", strictjson.Str(d.Capture.Consistency)).
			Set("source_lineage", strictjson.Text(d.Capture.Lineage)).
			Set("source_checkpoint", strictjson.Text(d.Capture.Checkpoint))).
		Set("state", d.state()).
		Set("extensions", extensions).
		Set("requires", strictjson.Strs(d.Requires)))
}

func (d *Descriptor) state() *strictjson.Value {
	layers, backing := strictjson.List(), strictjson.Text(nil)
	for i := range d.Layers {
		l := &d.Layers[i]
		layers.Items = append(layers.Items, strictjson.Map().
			Set("layer_id", strictjson.Str(l.ID)).
			Set("format", strictjson.Str(l.Format)).
			Set("virtual_size", strictjson.Int(l.Size)).
			Set("backing", backing).
			Set("payload", strictjson.Map().
				Set("file_kind", strictjson.Str(fileRegular)).
				Set("integrity", form06.EncodeIntegrity(l.Integrity))))
		backing = strictjson.Str(l.ID)
	}
	head := d.Layers[len(d.Layers)-1]
	return strictjson.Map().
		Set("kind", strictjson.Str("file")).
		Set("filesystem", strictjson.Str(d.FSType)).
		Set("disk_format", strictjson.Str(head.Format)).
		Set("virtual_size", strictjson.Int(head.Size)).
		Set("head", strictjson.Str(head.ID)).
		Set("layers", layers)
}
