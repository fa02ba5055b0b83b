package form06

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/integrity"
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

func (d *Descriptor) decode(v *strictjson.Value) error {
	// The version comes first: later ones may have other keys.
	if s := v.Get("schema"); s != nil && (s.Kind != strictjson.Number || s.Text != "1") {
		return fault.Unsupported("byte %d: schema %.60s is not 1", s.Offset, s.Text)
	}
	f, err := v.Fields("descriptor", "schema", "artifact", "scope", "created_at", "parent", "image",
		"source_sandbox", "state", "labels", "extensions", "requires")
	if err != nil {
		return err
	}
	r := reader{}
	r.keep(f[1].Is("artifact", artifact))
	d.Scope = r.text(f[2], "scope")
	d.CreatedAt = r.text(f[3], "created_at")
	if r.err == nil {
		d.CreatedAt, err = Time(d.CreatedAt)
		r.keep(err)
	}
	if f[4].Kind != strictjson.Null {
		d.Parent = r.digest(f[4], "parent")
	}
	if image := r.fields(f[5], "image", "ref", "manifest_digest"); image != nil {
		d.Image = Image{r.text(image[0], "image.ref"), r.digest(image[1], "image.manifest_digest")}
	}
	d.Source, err = f[6].StringOrNull("source_sandbox")
	r.keep(err)
	r.state(d, f[7])
	d.Labels = map[string]string{}
	for key, value := range r.object(f[8], "labels") {
		d.Labels[key] = r.text(value, fmt.Sprintf("labels: %.60q", key))
	}
	d.Extensions = r.object(f[9], "extensions")
	requires, err := f[10].List("requires")
	r.keep(err)
	for _, item := range requires {
		d.Requires = append(d.Requires, r.text(item, "requires"))
	}
	return r.err
}

// reader reads values until the first error.
type reader struct{ err error }

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) text(v *strictjson.Value, where string) string {
	s, err := v.String(where)
	r.keep(err)
	return s
}

func (r *reader) size(v *strictjson.Value, where string) int64 {
	n, err := v.Int(where)
	r.keep(err)
	return n
}

// digest reads a SHA-256.
func (r *reader) digest(v *strictjson.Value, where string) digest.Digest {
	d := digest.Digest(r.text(v, where))
	if r.err == nil && !isSHA256(d) {
		r.err = v.Fault(where, "%.80q is not a SHA-256", string(d))
	}
	return d
}

func (r *reader) fields(v *strictjson.Value, where string, names ...string) []*strictjson.Value {
	f, err := v.Fields(where, names...)
	r.keep(err)
	return f
}

func (r *reader) object(v *strictjson.Value, where string) map[string]*strictjson.Value {
	if v.Kind != strictjson.Object {
		r.keep(v.Fault(where, "is %v, not an object", v.Kind))
	}
	m := map[string]*strictjson.Value{}
	for i, key := range v.Keys {
		m[key] = v.Items[i]
	}
	return m
}

func (r *reader) state(d *Descriptor, v *strictjson.Value) {
	kind := v.Get("kind")
	switch {
	case kind == nil:
		r.keep(v.Fault("state", "key %q is missing", "kind"))
	case kind.Kind == strictjson.String && kind.Text == "checkpoint":
		if f := r.fields(v, "state", "kind", "checkpoint_id", "manifest"); f != nil {
			d.Checkpoint = &Checkpoint{r.text(f[1], "state.checkpoint_id"), r.digest(f[2], "state.manifest")}
		}
	case kind.Kind == strictjson.String && kind.Text == "file":
		d.File = r.file(v)
	default:
		r.keep(fault.Unsupported("byte %d: state.kind is neither file nor checkpoint", kind.Offset))
	}
}

func (r *reader) file(v *strictjson.Value) *File {
	f := r.fields(v, "state", "kind", "format", "fstype", "upper")
	if f == nil {
		return nil
	}
	upper := r.fields(f[3], "state.upper", "file", "size_bytes", "integrity")
	if upper == nil {
		return nil
	}
	file := &File{
		Format: r.text(f[1], "state.format"), FSType: r.text(f[2], "state.fstype"),
		Name: r.text(upper[0], "state.upper.file"), Size: r.size(upper[1], "state.upper.size_bytes"),
	}
	file.Integrity = r.integrity(upper[2], file.Size)
	return file
}

// integrity reads the integrity of a file of size bytes; nil is null.
func (r *reader) integrity(v *strictjson.Value, size int64) *integrity.Sum {
	const where = "integrity"
	if v.Kind == strictjson.Null {
		return nil
	}
	s := &integrity.Sum{Size: size}
	if a := v.Get("algorithm"); a != nil {
		s.Algorithm = r.text(a, where+".algorithm")
	}
	if s.Algorithm == integrity.Merkle {
		f := r.fields(v, where, "algorithm", "root", "logical_size", "leaf_size")
		if f == nil {
			return nil
		}
		s.Digest, s.Size = r.text(f[1], where+".root"), r.size(f[2], where+".logical_size")
		if r.size(f[3], where+".leaf_size") != integrity.LeafSize {
			r.keep(v.Fault(where, "leaf_size is not %d", integrity.LeafSize))
		}
	} else if f := r.fields(v, where, "algorithm", "digest"); f != nil {
		s.Digest = r.text(f[1], where+".digest")
	}
	if r.err == nil {
		if err := s.Check(); err != nil {
			r.err = fmt.Errorf("byte %d: %s: %w", v.Offset, where, err)
		}
	}
	return s
}

// Check returns an error if the descriptor is not valid.
func (d *Descriptor) Check() error {
	switch {
	case d.Scope != ScopeDisk && d.Scope != ScopeResumable:
		return fault.Unsupported("scope %.60q is neither disk nor resumable", d.Scope)
	case d.File == nil && d.Checkpoint == nil:
		return fault.Corrupt("no state")
	case d.File != nil && d.Scope != ScopeDisk:
		return fault.Corrupt("scope %s with a state of kind file", d.Scope)
	case d.Checkpoint != nil && d.Checkpoint.ID == "":
		return fault.Corrupt("state.checkpoint_id is empty")
	case d.Image.Ref == "":
		return fault.Corrupt("image.ref is empty")
	case !isSHA256(d.Image.Manifest):
		return fault.Corrupt("image.manifest_digest %.80q is not a SHA-256", string(d.Image.Manifest))
	case d.Parent != "" && !isSHA256(d.Parent):
		return fault.Corrupt("parent %.80q is not a SHA-256", string(d.Parent))
	}
	if d.File != nil {
		if err := d.File.check(); err != nil {
			return err
		}
	}
	for i, r := range d.Requires {
		switch {
		case d.Extensions[r] == nil || r == "":
			return fault.Corrupt("requires %.60q, which is not an extension", r)
		case i > 0 && d.Requires[i-1] >= r:
			return fault.Corrupt("requires is not ascending: %.60q", r)
		}
	}
	return nil
}

func (f *File) check() error {
	switch {
	case f.Format != Raw && f.Format != Qcow2:
		return fault.Unsupported("state.format %.60q is neither raw nor qcow2", f.Format)
	case f.FSType == "":
		return fault.Corrupt("state.fstype is empty")
	case f.Size < 0 || f.Size > strictjson.MaxInt:
		return fault.Corrupt("state.upper.size_bytes %d is not a number of 0 to %d", f.Size, strictjson.MaxInt)
	case f.Integrity != nil && f.Integrity.Size != f.Size:
		return fault.Corrupt("integrity.logical_size is %d, state.upper.size_bytes %d", f.Integrity.Size, f.Size)
	}
	return CheckFileName(f.Name)
}

// reserved are the names in the directory of a snapshot that its disk may not have.
var reserved = []string{DescriptorName, "manifest.json", ".manifest.json.legacy", ".snapshot-migration.lock"}

// CheckFileName accepts names that the disk of a snapshot may have: one component, and not
// that of another file.
func CheckFileName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\\\x00"):
		return fault.Corrupt("state.upper.file %.60q is not the name of a file", name)
	case slices.Contains(reserved, name):
		return fault.Corrupt("state.upper.file %.60q is reserved", name)
	}
	return nil
}

func isSHA256(d digest.Digest) bool { return d.Validate() == nil && d.Algorithm() == digest.SHA256 }
