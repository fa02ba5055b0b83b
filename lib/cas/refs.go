package cas

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/platform"
)

const (
	emptyIndex = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}` + "\n"
	maxIndex   = 64 << 20
)

// Annotations of an entry of index.json.
const (
	annotationName = "org.opencontainers.image.ref.name"
	annotationTop  = "ocipipe.ref.digest" // the digest of the index that the reference names
)

// A Ref is an image that is complete in the cache, under a reference.
type Ref struct {
	Name      string             // the full reference, as others will ask for it
	MediaType string             // of the manifest
	Digest    digest.Digest      // of the manifest
	Size      int64              // of the manifest
	Platform  *platform.Platform // as the index states it; nil without an index
	// Top is the digest of the index that the reference names in the registry, if the
	// manifest was taken from one, else "".
	Top digest.Digest
}

// entry is a descriptor of index.json. Entries of other programs are kept as they are.
type entry struct {
	MediaType   string             `json:"mediaType,omitempty"`
	Digest      digest.Digest      `json:"digest"`
	Size        int64              `json:"size"`
	Annotations map[string]string  `json:"annotations,omitempty"`
	Platform    *platform.Platform `json:"platform,omitempty"`
}

// Refs returns the images that name stands for: none, one, or one for each platform, the
// newest first. It takes no lock.
func (s *Store) Refs(name string) ([]Ref, error) {
	_, list, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for _, raw := range list {
		if e := decodeEntry(raw); e.named(name) {
			refs = append(refs, Ref{name, e.MediaType, e.Digest, e.Size, e.Platform, digest.Digest(e.Annotations[annotationTop])})
		}
	}
	return refs, nil
}

// SetRef lists the image r in index.json. All its blobs must be in the cache: if one is
// missing, the error is fs.ErrNotExist and nothing is listed. r replaces what the reference
// named before, except other platforms of the same index.
func (s *Store) SetRef(ctx context.Context, r Ref, blobs []digest.Digest) error {
	if err := layout.CheckDigest(r.Digest); err != nil {
		return err
	}
	for _, d := range append([]digest.Digest{r.Digest}, blobs...) {
		b, err := s.Blob(ctx, d)
		if err != nil {
			return fmt.Errorf("%s is not complete: %w", r.Name, err)
		}
		b.Close()
	}
	if done, err := s.isSet(r); err != nil || done {
		return err
	}
	l, err := s.lock(ctx, layout.Index)
	if err != nil {
		return err
	}
	defer l.release(false)
	fields, list, err := s.readIndex()
	if err != nil {
		return err
	}
	list, err = setEntry(list, r)
	if err != nil {
		return err
	}
	return s.writeIndex(fields, list)
}

// isSet reports whether index.json lists r already, unchanged.
func (s *Store) isSet(r Ref) (bool, error) {
	_, list, err := s.readIndex()
	if err != nil {
		return false, err
	}
	changed, err := setEntry(slices.Clone(list), r)
	same := slices.EqualFunc(list, changed, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
	return same, err
}

// setEntry returns list with r before the other entries of its name.
func setEntry(list []json.RawMessage, r Ref) ([]json.RawMessage, error) {
	annotations := map[string]string{annotationName: r.Name}
	if r.Top != "" {
		annotations[annotationTop] = r.Top.String()
	}
	raw, err := json.Marshal(entry{r.MediaType, r.Digest, r.Size, annotations, r.Platform})
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(list, func(old json.RawMessage) bool { return bytes.Equal(old, raw) }) {
		return list, nil
	}
	at := len(list)
	var kept []json.RawMessage
	for _, old := range list {
		e := decodeEntry(old)
		if !e.named(r.Name) {
			kept = append(kept, old)
			continue
		}
		at = min(at, len(kept))
		if r.Top != "" && e.Annotations[annotationTop] == r.Top.String() && !isSame(e.Platform, r.Platform) {
			kept = append(kept, old)
		}
	}
	return slices.Insert(kept, min(at, len(kept)), json.RawMessage(raw)), nil
}

func (e entry) named(name string) bool { return e.Annotations[annotationName] == name }

// isSame reports whether p and q are the same platform, or both nil. Features do not count.
func isSame(p, q *platform.Platform) bool {
	if p == nil || q == nil {
		return p == q
	}
	return p.OS == q.OS && p.Architecture == q.Architecture && p.Variant == q.Variant && p.OSVersion == q.OSVersion
}

// decodeEntry decodes an entry. An entry that is not an image decodes to the zero entry,
// which has no name.
func decodeEntry(raw json.RawMessage) (e entry) {
	if json.Unmarshal(raw, &e) != nil || layout.CheckDigest(e.Digest) != nil {
		return entry{}
	}
	return e
}

// readIndex returns the fields of index.json and its entries. A missing file counts as an
// empty index.
func (s *Store) readIndex() (fields map[string]json.RawMessage, list []json.RawMessage, err error) {
	data, err := s.read(layout.Index, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = []byte(emptyIndex), nil
	}
	if err != nil {
		return nil, nil, err
	}
	if err = json.Unmarshal(data, &fields); err == nil && fields["manifests"] != nil {
		err = json.Unmarshal(fields["manifests"], &list)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.path(layout.Index), err)
	}
	if fields == nil {
		return nil, nil, fmt.Errorf("%s: %w", s.path(layout.Index), fs.ErrInvalid)
	}
	return fields, list, nil
}

func (s *Store) writeIndex(fields map[string]json.RawMessage, list []json.RawMessage) error {
	manifests, err := json.Marshal(list)
	if err != nil {
		return err
	}
	fields["manifests"] = manifests
	data, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return s.replace(layout.Index, append(data, '\n'))
}
