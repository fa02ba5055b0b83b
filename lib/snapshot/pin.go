package snapshot

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/jsonfault"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/strictjson"
)

// Pin says on which bytes a disk stands: what oci-materialize prints of an image.
type Pin struct {
	Reference string
	Manifest  digest.Digest
	Platform  string
	Layers    []digest.Digest // diff-ids, bottom to top
	FSMeta    digest.Digest   // of the metadata image, or ""
}

// ParsePin reads the JSON that oci-materialize prints. It ignores keys that are not needed.
func ParsePin(data []byte) (*Pin, error) {
	var v struct {
		Reference string `json:"reference"`
		Manifest  struct {
			Digest digest.Digest `json:"digest"`
		} `json:"manifest"`
		Platform string `json:"platform"`
		Layers   []struct {
			DiffID digest.Digest `json:"diff_id"`
		} `json:"layers"`
		FSMeta struct {
			Digest digest.Digest `json:"digest"`
		} `json:"fsmeta"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fault.Corrupt("not the JSON of oci-materialize: %w", jsonfault.Explain(err))
	}
	p := &Pin{Reference: v.Reference, Manifest: v.Manifest.Digest, Platform: v.Platform, FSMeta: v.FSMeta.Digest}
	for _, l := range v.Layers {
		p.Layers = append(p.Layers, l.DiffID)
	}
	return p, p.check()
}

func (p *Pin) check() error {
	if p.Manifest == "" {
		return fault.Corrupt("not the JSON of oci-materialize: it has no manifest.digest")
	}
	if !form.IsSHA256(p.Manifest) {
		return fault.Corrupt("manifest.digest %.80q is not a SHA-256", string(p.Manifest))
	}
	for _, d := range p.Layers {
		if d.Validate() != nil {
			return fault.Corrupt("layers.diff_id %.80q is not a digest", string(d))
		}
	}
	if p.FSMeta != "" && p.FSMeta.Validate() != nil {
		return fault.Corrupt("fsmeta.digest %.80q is not a digest", string(p.FSMeta))
	}
	return nil
}

// The notes that Create makes, as extensions, or as labels that hold JSON.
const (
	notePrefix      = "ocipipe."
	NotePin         = notePrefix + "pin"
	NoteConsistency = notePrefix + "consistency"
)

// noteOf returns a note of a snapshot, nil if it has none.
func noteOf(info *form.Info, key string) (*strictjson.Value, error) {
	if v := info.Extensions[key]; v != nil {
		return v, nil
	}
	text, ok := info.Labels[key]
	if !ok {
		return nil, nil
	}
	v, err := strictjson.Parse([]byte(text))
	if err != nil {
		err = fmt.Errorf("label %s: %w", key, err)
	}
	return v, err
}

// note returns what a descriptor records of p beside reference and manifest.
func (p *Pin) note() *strictjson.Value {
	layers := strictjson.List()
	for _, d := range p.Layers {
		layers.Items = append(layers.Items, strictjson.Str(d.String()))
	}
	v := strictjson.Map().Set("platform", strictjson.Str(p.Platform)).Set("layers", layers)
	if p.FSMeta != "" {
		v.Set("fsmeta", strictjson.Str(p.FSMeta.String()))
	}
	return v
}

// PinOf is what the snapshot says of the bytes that it stands on. noted: it has the note of
// its layers; without it only the digest of the manifest is known.
func PinOf(info *form.Info) (p *Pin, noted bool, err error) {
	p = &Pin{Manifest: info.Manifest}
	note, err := noteOf(info, NotePin)
	if err != nil || note == nil {
		return p, false, err
	}
	f, err := note.Fields(NotePin, "platform", "layers", "fsmeta?")
	if err != nil {
		return nil, false, err
	}
	if p.Platform, err = f[0].String("platform"); err != nil {
		return nil, false, err
	}
	items, err := f[1].List("layers")
	if err != nil {
		return nil, false, err
	}
	for _, item := range items {
		p.Layers = append(p.Layers, digest.Digest(item.Text))
	}
	if f[2] != nil {
		p.FSMeta = digest.Digest(f[2].Text)
	}
	return p, true, nil
}

// Match returns an error unless the snapshot stands on the bytes that p describes. One
// without the note has only the digest of the manifest, which proves nothing of the bytes
// below the disk.
func (p *Pin) Match(info *form.Info) error {
	if info.Manifest != p.Manifest {
		return fault.Corrupt("the snapshot stands on the image %s, not on %s", info.Manifest, p.Manifest)
	}
	have, noted, err := PinOf(info)
	switch {
	case err != nil:
		return err
	case !noted:
		return fault.Unsupported("the snapshot stands on the image %s, but has no note of its layers (%s): nothing else can be compared", info.Manifest, NotePin)
	case have.Platform != p.Platform:
		return fault.Corrupt("the snapshot stands on an image for %.60q, not %.60q", have.Platform, p.Platform)
	case !slices.Equal(have.Layers, p.Layers):
		return fault.Corrupt("the snapshot stands on other layers: %s", firstOther(have.Layers, p.Layers))
	case have.FSMeta != "" && p.FSMeta != "" && have.FSMeta != p.FSMeta:
		return fault.Corrupt("the snapshot stands on the metadata image %.80s, not %s", have.FSMeta, p.FSMeta)
	}
	return nil
}

func firstOther(have, want []digest.Digest) string {
	for i := range min(len(have), len(want)) {
		if have[i] != want[i] {
			return fmt.Sprintf("layer %d is %.80s, not %s", i, have[i], want[i])
		}
	}
	return fmt.Sprintf("%d of them, not %d", len(have), len(want))
}
