package cas

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/jsonfault"
	"ocipipe/lib/layout"
	"ocipipe/lib/platform"
)

const (
	emptyIndex = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}` + "\n"
	maxIndex   = 64 << 20
)

// DroppedIndex is the name of a file in the form of index.json. It lists images whose layers
// are not kept as blobs.
const DroppedIndex = "refs.json"

var (
	indexFiles = []string{layout.Index, DroppedIndex}
	errForm    = errors.New("not an index")
)

// Annotations of an entry of index.json.
const (
	annotationName = "org.opencontainers.image.ref.name"
	annotationTop  = "ocipipe.ref.digest" // the digest of the index that the reference names
)

// A Ref is an image in the cache, under a reference.
type Ref struct {
	Name      string             // the full reference, as others will ask for it; "" for none
	MediaType string             // of the manifest
	Digest    digest.Digest      // of the manifest
	Size      int64              // of the manifest
	Platform  *platform.Platform // as the index states it; nil without an index
	// Top is the digest of the index that the reference names in the registry, if the
	// manifest was taken from one, else "".
	Top digest.Digest
	// Dropped says that the blobs of its layers are not in the cache, or need not be: the
	// reference is in refs.json, not in index.json.
	Dropped bool
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
// newest first, those of index.json before those of refs.json. It takes no lock.
func (s *Store) Refs(name string) ([]Ref, error) {
	all, err := s.AllRefs()
	return slices.DeleteFunc(all, func(r Ref) bool { return r.Name != name }), err
}

// AllRefs returns all images that index.json and refs.json list, also those of other
// programs, and those without a name. An entry that is not valid is left out. If one of the
// files cannot be read, AllRefs returns an error, and what the other one lists. It takes no
// lock.
func (s *Store) AllRefs() (refs []Ref, err error) {
	for _, file := range indexFiles {
		_, list, ferr := s.readIndex(file)
		err = errors.Join(err, ferr)
		for _, raw := range list {
			if e := decodeEntry(raw); e.Digest != "" {
				refs = append(refs, e.ref(file == DroppedIndex))
			}
		}
	}
	return refs, err
}

// An IndexFault is something in index.json or refs.json that stands for no image.
type IndexFault struct{ File, What string }

// IndexFaults returns what is wrong with index.json and refs.json themselves: that they are
// not JSON of their form, or entries without a digest. With repair it removes such entries,
// and puts aside a file that is not JSON for one that lists nothing; it then returns what it
// has mended. It does not look whether the images are there.
func (s *Store) IndexFaults(ctx context.Context, repair bool) (faults []IndexFault, err error) {
	if repair {
		l, err := s.lock(ctx, layout.Index)
		if err != nil {
			return nil, err
		}
		defer l.release(false)
	}
	for _, file := range indexFiles {
		fields, list, err := s.readIndex(file)
		if errors.Is(err, errForm) {
			faults = append(faults, IndexFault{file, err.Error()})
			if !repair {
				continue
			}
			if err := s.putAside(file, err); err != nil {
				return faults, err
			}
			fields, list = map[string]json.RawMessage{}, nil
			json.Unmarshal([]byte(emptyIndex), &fields)
		} else if err != nil {
			return faults, err
		}
		var kept []json.RawMessage
		for i, raw := range list {
			if decodeEntry(raw).Digest != "" {
				kept = append(kept, raw)
				continue
			}
			faults = append(faults, IndexFault{file, fmt.Sprintf("entry %d is not the descriptor of an image", i)})
		}
		if repair && (err != nil || len(kept) < len(list)) {
			if err := s.writeIndex(file, fields, slices.Insert([]json.RawMessage{}, 0, kept...)); err != nil {
				return faults, err
			}
		}
	}
	return faults, nil
}

func (e entry) ref(dropped bool) Ref {
	return Ref{e.Annotations[annotationName], e.MediaType, e.Digest, e.Size, e.Platform, digest.Digest(e.Annotations[annotationTop]), dropped}
}

// SetRef lists the image r in index.json or, if it is Dropped, in refs.json. The manifest and
// blobs must be in the cache: if one is missing, the error is fs.ErrNotExist and nothing is
// listed. r replaces what the reference named before, in either file, except other
// platforms of the same index. A damaged index.json or refs.json is named in a warning, put
// aside, and begun anew.
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
	if done, err := s.isSet(r); err != nil && !errors.Is(err, errForm) || done {
		return err
	}
	l, err := s.lock(ctx, layout.Index)
	if err != nil {
		return err
	}
	defer l.release(false)
	file, other := r.files()
	err = s.editIndex(file, func(list []json.RawMessage) ([]json.RawMessage, error) { return setEntry(list, r) })
	if err != nil {
		return err
	}
	return s.editIndex(other, func(list []json.RawMessage) ([]json.RawMessage, error) {
		return slices.DeleteFunc(list, func(raw json.RawMessage) bool { return r.replaces(decodeEntry(raw)) }), nil
	})
}

// files returns the file that lists r, and the one that must not.
func (r Ref) files() (file, other string) {
	if r.Dropped {
		return DroppedIndex, layout.Index
	}
	return layout.Index, DroppedIndex
}

// isSet reports whether the right file lists r already, unchanged, and the other one does
// not list what r replaces.
func (s *Store) isSet(r Ref) (bool, error) {
	file, other := r.files()
	_, list, err := s.readIndex(file)
	if err != nil {
		return false, err
	}
	_, rest, err := s.readIndex(other)
	if err != nil {
		return false, err
	}
	changed, err := setEntry(slices.Clone(list), r)
	isOld := func(raw json.RawMessage) bool { return r.replaces(decodeEntry(raw)) }
	return sameList(list, changed) && !slices.ContainsFunc(rest, isOld), err
}

func sameList(a, b []json.RawMessage) bool {
	return slices.EqualFunc(a, b, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) })
}

// RemoveRef takes all entries with the name, the manifest and the platform of one of refs out
// of the file that lists it. Where there is no such entry it does nothing.
func (s *Store) RemoveRef(ctx context.Context, refs ...Ref) error {
	l, err := s.lock(ctx, layout.Index)
	if err != nil {
		return err
	}
	defer l.release(false)
	for _, file := range indexFiles {
		type key struct {
			digest digest.Digest
			name   string
		}
		gone := map[key][]*platform.Platform{}
		for _, r := range refs {
			if listed, _ := r.files(); listed == file {
				k := key{r.Digest, r.Name}
				gone[k] = append(gone[k], r.Platform)
			}
		}
		err := s.editIndex(file, func(list []json.RawMessage) ([]json.RawMessage, error) {
			return slices.DeleteFunc(list, func(raw json.RawMessage) bool {
				e := decodeEntry(raw)
				platforms := gone[key{e.Digest, e.Annotations[annotationName]}]
				return e.Digest != "" && slices.ContainsFunc(platforms, func(p *platform.Platform) bool { return isSame(e.Platform, p) })
			}), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// editIndex replaces the list in a file by what edit makes of it. The lock of index.json is
// held.
func (s *Store) editIndex(file string, edit func([]json.RawMessage) ([]json.RawMessage, error)) error {
	fields, list, err := s.readIndex(file)
	if errors.Is(err, errForm) {
		if err := s.putAside(file, err); err != nil {
			return err
		}
		fields, list, err = s.readIndex(file)
	}
	if err != nil {
		return err
	}
	changed, err := edit(slices.Clone(list))
	if err != nil || sameList(list, changed) {
		return err
	}
	return s.writeIndex(file, fields, changed)
}

// aside is what putAside adds to names.
const aside = ".damaged"

// putAside renames a damaged index, which somebody may want to mend by hand.
func (s *Store) putAside(file string, why error) error {
	path := s.path(file + aside)
	for i := 2; exists(path); i++ {
		path = s.path(fmt.Sprintf("%s%s-%d", file, aside, i))
	}
	if err := os.Rename(s.path(file), path); err != nil {
		return storeError(err)
	}
	s.warn("%v: begun anew, and kept as %s", why, path)
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
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
		if !r.replaces(e) {
			kept = append(kept, old)
		}
	}
	return slices.Insert(kept, min(at, len(kept)), json.RawMessage(raw)), nil
}

// replaces reports whether e must go where r is listed: it has the name of r, and is not of
// another platform of the same index. Without a name only the same manifest is replaced.
func (r Ref) replaces(e entry) bool {
	isOther := r.Name == "" && e.Digest != r.Digest ||
		r.Top != "" && e.Annotations[annotationTop] == r.Top.String() && !isSame(e.Platform, r.Platform)
	return e.named(r.Name) && e.Digest != "" && !isOther
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

// readIndex returns the fields of index.json, or of another file of its form, and its
// entries. A missing file counts as an empty index.
func (s *Store) readIndex(file string) (fields map[string]json.RawMessage, list []json.RawMessage, err error) {
	data, err := s.read(file, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = []byte(emptyIndex), nil
	}
	if errors.Is(err, errLonger) || errors.Is(err, errNotRegular) {
		return nil, nil, fmt.Errorf("cache %s: %w: %w", s.dir, errForm, err)
	}
	if err != nil {
		return nil, nil, err
	}
	if err = json.Unmarshal(data, &fields); err == nil && fields["manifests"] != nil {
		err = json.Unmarshal(fields["manifests"], &list)
	}
	if err == nil && fields == nil {
		err = errors.New("null")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", s.path(file), errForm, jsonfault.Explain(err))
	}
	return fields, list, nil
}

func (s *Store) writeIndex(file string, fields map[string]json.RawMessage, list []json.RawMessage) error {
	manifests, err := json.Marshal(list)
	if err != nil {
		return err
	}
	fields["manifests"] = manifests
	data, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return s.replace(file, append(data, '\n'))
}
