package form07

import (
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/strictjson"
)

// Decode reads a descriptor, however its JSON is spelled, and checks it. Encode returns
// other bytes than data if that is not canonical.
func Decode(data []byte) (*Descriptor, error) {
	if len(data) > MaxDescriptor {
		return nil, fault.Unsupported("longer than %d bytes", MaxDescriptor)
	}
	v, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	d := &Descriptor{}
	if err := d.decode(v); err != nil {
		return nil, err
	}
	return d, d.Check()
}

// IsDescriptor reports whether data looks like a descriptor of this form, valid or not.
func IsDescriptor(data []byte) bool {
	v, err := strictjson.Parse(data)
	if err != nil {
		return false
	}
	s := v.Get("schema")
	return s != nil && s.Kind == strictjson.String && strings.HasPrefix(s.Text, "microsandbox.snapshot/")
}

// unsupported are states that are more than a disk.
func unsupported(v *strictjson.Value) error {
	for _, key := range []string{"scope", "state"} {
		s := v.Get(key)
		if key == "state" && s != nil {
			s = s.Get("kind")
		}
		if s != nil && s.Kind == strictjson.String && s.Text == "checkpoint" {
			return fault.Unsupported("byte %d: a checkpoint with the memory of the machine, not a disk alone", s.Offset)
		}
	}
	return nil
}

func (d *Descriptor) decode(v *strictjson.Value) error {
	// The version comes first: later ones may have other keys.
	if s := v.Get("schema"); s != nil {
		if err := s.Is("schema", schema); err != nil {
			return err
		}
	}
	if err := unsupported(v); err != nil {
		return err
	}
	f, err := v.Fields("descriptor", "schema", "snapshot_id", "scope", "parent", "image", "root_disk?",
		"capture", "state", "extensions", "requires")
	if err != nil {
		return err
	}
	r := reader{}
	d.ID = r.Text(f[1], "snapshot_id")
	r.Is(f[2], "scope", scope)
	if f[3].Kind != strictjson.Null {
		d.Parent = r.id(f[3], "parent", snapshotPrefix)
	}
	if image := r.Fields(f[4], "image", "reference", "manifest_digest"); image != nil {
		d.Image = form06.Image{Ref: r.Text(image[0], "image.reference"), Manifest: digest.Digest(r.Text(image[1], "image.manifest_digest"))}
	}
	d.Layout = Managed
	if f[5] != nil {
		if disk := r.Fields(f[5], "root_disk", "layout"); disk != nil {
			d.Layout = r.Text(disk[0], "root_disk.layout")
		}
	}
	r.capture(f[6], &d.Capture)
	r.state(f[7], d)
	d.Extensions = r.Object(f[8], "extensions")
	d.Requires = r.Texts(f[9], "requires")
	return r.Err
}

type reader struct{ strictjson.Reader }

func (r *reader) id(v *strictjson.Value, where, prefix string) string {
	id := r.Text(v, where)
	if r.Err == nil && !isID(id, prefix) {
		r.Err = v.Fault(where, "%.80q is not %s and 32 hex digits", id, prefix)
	}
	return id
}

func (r *reader) capture(v *strictjson.Value, c *Capture) {
	f := r.Fields(v, "capture", "created_at", "consistency", "source_lineage", "source_checkpoint")
	if f == nil {
		return
	}
	c.CreatedAt = r.Text(f[0], "capture.created_at")
	if r.Err == nil {
		var err error
		c.CreatedAt, err = Time(c.CreatedAt)
		r.Keep(err)
	}
	c.Consistency = r.Text(f[1], "capture.consistency")
	c.Lineage = r.TextOrNull(f[2], "capture.source_lineage")
	c.Checkpoint = r.TextOrNull(f[3], "capture.source_checkpoint")
}

// state reads the layers, and compares what the state repeats of the last of them.
func (r *reader) state(v *strictjson.Value, d *Descriptor) {
	f := r.Fields(v, "state", "kind", "filesystem", "disk_format", "virtual_size", "head", "layers")
	if f == nil {
		return
	}
	r.Is(f[0], "state.kind", "file")
	d.FSType = r.Text(f[1], "state.filesystem")
	items := r.List(f[5], "state.layers")
	if len(items) == 0 || len(items) > maxLayers {
		r.Keep(f[5].Fault("state.layers", "has %d layers, not 1 to %d", len(items), maxLayers))
		return
	}
	before := ""
	for _, item := range items {
		l := r.layer(item, before)
		d.Layers = append(d.Layers, l)
		before = l.ID
	}
	head := d.Layers[len(d.Layers)-1]
	r.same(f[2], "state.disk_format", r.Text(f[2], "state.disk_format") == head.Format)
	r.same(f[3], "state.virtual_size", r.Int(f[3], "state.virtual_size") == head.Size)
	r.same(f[4], "state.head", r.Text(f[4], "state.head") == head.ID)
}

// same keeps an error about v unless it is equal to what the last layer has.
func (r *reader) same(v *strictjson.Value, where string, equal bool) {
	if !equal {
		r.Keep(v.Fault(where, "is not that of the last layer"))
	}
}

// layer reads the layer that follows the layer before, or nothing.
func (r *reader) layer(v *strictjson.Value, before string) (l Layer) {
	f := r.Fields(v, "state.layers", "layer_id", "format", "virtual_size", "backing", "payload")
	if f == nil {
		return l
	}
	l.ID, l.Format, l.Size = r.Text(f[0], "layer_id"), r.Text(f[1], "format"), r.Int(f[2], "virtual_size")
	backing := r.TextOrNull(f[3], "backing")
	if before == "" != (backing == nil) || backing != nil && *backing != before {
		r.Keep(f[3].Fault("backing", "is not the layer before"))
	}
	if p := r.Fields(f[4], "payload", "file_kind", "integrity"); p != nil {
		r.Is(p[0], "file_kind", fileRegular)
		sum, err := form06.DecodeIntegrity(p[1], l.Size)
		r.Keep(err)
		l.Integrity = sum
	}
	return l
}
