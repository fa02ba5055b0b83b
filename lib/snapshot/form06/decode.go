package form06

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
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
	r.Is(f[1], "artifact", artifact)
	d.Scope = r.Text(f[2], "scope")
	d.CreatedAt = r.Text(f[3], "created_at")
	if r.Err == nil {
		d.CreatedAt, err = Time(d.CreatedAt)
		r.Keep(err)
	}
	if f[4].Kind != strictjson.Null {
		d.Parent = r.digest(f[4], "parent")
	}
	if image := r.Fields(f[5], "image", "ref", "manifest_digest"); image != nil {
		d.Image = Image{r.Text(image[0], "image.ref"), r.digest(image[1], "image.manifest_digest")}
	}
	d.Source = r.TextOrNull(f[6], "source_sandbox")
	r.state(d, f[7])
	d.Labels = map[string]string{}
	for key, value := range r.Object(f[8], "labels") {
		d.Labels[key] = r.Text(value, fmt.Sprintf("labels: %.60q", key))
	}
	d.Extensions = r.Object(f[9], "extensions")
	d.Requires = r.Texts(f[10], "requires")
	return r.Err
}

type reader struct{ strictjson.Reader }

// digest reads a SHA-256.
func (r *reader) digest(v *strictjson.Value, where string) digest.Digest {
	d := digest.Digest(r.Text(v, where))
	if r.Err == nil && !form.IsSHA256(d) {
		r.Err = v.Fault(where, "%.80q is not a SHA-256", string(d))
	}
	return d
}

func (r *reader) state(d *Descriptor, v *strictjson.Value) {
	kind := v.Get("kind")
	switch {
	case kind == nil:
		r.Keep(v.Fault("state", "key %q is missing", "kind"))
	case kind.Kind == strictjson.String && kind.Text == "checkpoint":
		if f := r.Fields(v, "state", "kind", "checkpoint_id", "manifest"); f != nil {
			d.Checkpoint = &Checkpoint{r.Text(f[1], "state.checkpoint_id"), r.digest(f[2], "state.manifest")}
		}
	case kind.Kind == strictjson.String && kind.Text == "file":
		d.File = r.file(v)
	default:
		r.Keep(fault.Unsupported("byte %d: state.kind is neither file nor checkpoint", kind.Offset))
	}
}

func (r *reader) file(v *strictjson.Value) *File {
	f := r.Fields(v, "state", "kind", "format", "fstype", "upper")
	if f == nil {
		return nil
	}
	upper := r.Fields(f[3], "state.upper", "file", "size_bytes", "integrity")
	if upper == nil {
		return nil
	}
	file := &File{
		Format: r.Text(f[1], "state.format"), FSType: r.Text(f[2], "state.fstype"),
		Name: r.Text(upper[0], "state.upper.file"), Size: r.Int(upper[1], "state.upper.size_bytes"),
	}
	var err error
	file.Integrity, err = DecodeIntegrity(upper[2], file.Size)
	r.Keep(err)
	return file
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
	case !form.IsSHA256(d.Image.Manifest):
		return fault.Corrupt("image.manifest_digest %.80q is not a SHA-256", string(d.Image.Manifest))
	case d.Parent != "" && !form.IsSHA256(d.Parent):
		return fault.Corrupt("parent %.80q is not a SHA-256", string(d.Parent))
	}
	if d.File != nil {
		if err := d.File.check(); err != nil {
			return err
		}
	}
	return form.CheckRequires(d.Requires, d.Extensions)
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

// reserved are the names in the directory of a snapshot that its disk may not have, nor others
// that Windows or macOS take for them.
var reserved = []string{DescriptorName, "manifest.json", ".manifest.json.legacy", ".snapshot-migration.lock"}

// CheckFileName accepts names that the disk of a snapshot may have: one component, and not
// that of another file.
func CheckFileName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\\\x00"):
		return fault.Corrupt("state.upper.file %.60q is not the name of a file", name)
	case slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(r, strings.TrimRight(name, ". ")) }):
		return fault.Corrupt("state.upper.file %.60q is reserved", name)
	}
	return nil
}
