package form07

import (
	"fmt"
	"slices"
	"strings"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// Check returns an error if the descriptor is not valid.
func (d *Descriptor) Check() error {
	switch {
	case !isID(d.ID, snapshotPrefix):
		return fault.Corrupt("snapshot_id %.80q is not %s and 32 hex digits", d.ID, snapshotPrefix)
	case d.Parent != "" && !isID(d.Parent, snapshotPrefix):
		return fault.Corrupt("parent %.80q is not %s and 32 hex digits", d.Parent, snapshotPrefix)
	case d.Parent == d.ID:
		return fault.Corrupt("the snapshot is its own parent")
	case d.Image.Ref == "":
		return fault.Corrupt("image.reference is empty")
	case !form.IsSHA256(d.Image.Manifest):
		return fault.Corrupt("image.manifest_digest %.80q is not a SHA-256", string(d.Image.Manifest))
	case d.Layout != Managed && d.Layout != Flat:
		return fault.Unsupported("root_disk.layout %.60q is neither managed nor flat", d.Layout)
	case !slices.Contains([]string{CrashConsistent, FilesystemConsistent, ApplicationConsistent}, d.Capture.Consistency):
		return fault.Unsupported("capture.consistency %.60q is not known", d.Capture.Consistency)
	case d.FSType == "":
		return fault.Corrupt("state.filesystem is empty")
	case len(d.Layers) == 0 || len(d.Layers) > maxLayers:
		return fault.Corrupt("state.layers has %d layers, not 1 to %d", len(d.Layers), maxLayers)
	}
	seen := map[string]bool{}
	for i := range d.Layers {
		l := &d.Layers[i]
		if err := l.check(i == 0); err != nil {
			return fmt.Errorf("%.80s: %w", l.ID, err)
		}
		if seen[l.ID] {
			return fault.Corrupt("%s: the layer is there twice", l.ID)
		}
		seen[l.ID] = true
	}
	return d.checkExtensions()
}

// check checks a layer, of which the first is the base of the others.
func (l *Layer) check(base bool) error {
	switch {
	case !isID(l.ID, layerPrefix):
		return fault.Corrupt("layer_id is not %s and 32 hex digits", layerPrefix)
	case l.Format != Raw && l.Format != Qcow2:
		return fault.Unsupported("format %.60q is neither raw nor qcow2", l.Format)
	case l.Format == Raw && !base:
		return fault.Corrupt("a raw layer upon another one")
	case l.Size < 0 || l.Size > strictjson.MaxInt:
		return fault.Corrupt("virtual_size %d is not a number of 0 to %d", l.Size, strictjson.MaxInt)
	case l.Integrity != nil && l.Integrity.Algorithm == integrity.Merkle && l.Integrity.Size == 0:
		return fault.Unsupported("an empty disk: form %s has no integrity for it", Form)
	case l.Format == Raw && l.Integrity != nil && l.Integrity.Size != l.Size:
		return fault.Corrupt("integrity.logical_size is %d, virtual_size %d", l.Integrity.Size, l.Size)
	}
	return nil
}

func (d *Descriptor) checkExtensions() error {
	for key, v := range d.Extensions {
		if err := checkExtension(v, 0); err != nil {
			return fmt.Errorf("extensions: %.60q: %w", key, err)
		}
	}
	return form.CheckRequires(d.Requires, d.Extensions)
}

// checkExtension accepts what has a form in RFC 8785 without rounding.
func checkExtension(v *strictjson.Value, depth int) error {
	if v.Kind == strictjson.Number {
		if _, err := (&strictjson.Value{Kind: v.Kind, Text: strings.TrimPrefix(v.Text, "-")}).Int(""); err != nil {
			return fault.Unsupported("the number %.40s is not within +-%d", v.Text, strictjson.MaxInt)
		}
	}
	if depth == maxNesting && (v.Kind == strictjson.Array || v.Kind == strictjson.Object) {
		return fault.Unsupported("nested deeper than %d", maxNesting)
	}
	for _, item := range v.Items {
		if err := checkExtension(item, depth+1); err != nil {
			return err
		}
	}
	return nil
}
