package imagecache

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
)

// Limits of what is read, in bytes. A longer document counts as damaged.
const (
	maxDocument = 64 << 20
	maxRecord   = 4 << 20
)

// state is the graph of a cache at one moment.
type state struct {
	ctx     context.Context
	store   *cas.Store
	files   map[string]cas.File
	foreign []string
	// tolerant says that a document which cannot be read is no error, but makes its image
	// unknown.
	tolerant bool
	images   []*Image
	holders  map[string]int // how many images hold a file

	byKey map[digest.Digest][]string // artifacts but flat images
	flat  map[string][]string        // flat images and their records, by the layers they were made of
	docs  map[digest.Digest]document
}

// record is the content of a record of a flat image.
type record struct {
	Digest  digest.Digest   `json:"digest"`
	Size    int64           `json:"size"`
	Format  string          `json:"format"`
	DiffIDs []digest.Digest `json:"diff_ids"`
}

// load reads the graph of s.
func load(ctx context.Context, s *cas.Store) (*state, error) {
	refs, err := s.AllRefs()
	if err != nil {
		return nil, err
	}
	return loadRefs(ctx, s, refs, false)
}

func loadRefs(ctx context.Context, s *cas.Store, refs []cas.Ref, tolerant bool) (*state, error) {
	st := &state{
		ctx: ctx, store: s, tolerant: tolerant, files: map[string]cas.File{}, holders: map[string]int{},
		byKey: map[digest.Digest][]string{}, flat: map[string][]string{}, docs: map[digest.Digest]document{},
	}
	files, foreign, err := s.Files(ctx)
	if err != nil {
		return nil, err
	}
	st.foreign = foreign
	for _, f := range files {
		st.files[f.Name] = f
	}
	for _, f := range files { // in the order of the directories
		if err := st.artifact(f.Name); err != nil {
			return nil, err
		}
	}
	for _, names := range st.byKey {
		slices.Sort(names)
	}
	seen := map[[4]string]bool{}
	for _, ref := range refs {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		im, err := st.image(ref)
		if err != nil {
			return nil, err
		}
		if !seen[im.entry()] { // else it is there twice
			st.images = append(st.images, im)
		}
		seen[im.entry()] = true
	}
	st.count()
	return st, nil
}

// artifact notes what holds the artifact called name.
func (st *state) artifact(name string) error {
	a, ok := cas.ParseArtifact(name)
	switch {
	case !ok:
		return nil
	case a.Kind != "rootfs":
		st.byKey[a.Key] = append(st.byKey[a.Key], name)
		return nil
	case a.Ext != "json":
		return nil
	}
	rec, err := st.record(name)
	if err != nil && !st.tolerant {
		return err
	}
	if rec.DiffIDs == nil {
		return nil
	}
	key := join(rec.DiffIDs)
	st.flat[key] = append(st.flat[key], name)
	for _, ext := range []string{"erofs", "ext4"} {
		a.Ext = ext
		if _, ok := st.files[a.Name()]; ok {
			st.flat[key] = append(st.flat[key], a.Name())
		}
	}
	return nil
}

// record reads a record. One that is damaged or gone is the zero record.
func (st *state) record(name string) (rec record, err error) {
	data, err := st.read(name, maxRecord)
	if data == nil || json.Unmarshal(data, &rec) != nil {
		return record{}, err
	}
	return rec, nil
}

// join makes a key of a list of digests.
func join(list []digest.Digest) string {
	var b strings.Builder
	for _, d := range list {
		b.WriteString(d.String() + "\n")
	}
	return b.String()
}

// read reads a file of the cache. It returns nil for one that does not exist or is longer
// than limit.
func (st *state) read(name string, limit int64) ([]byte, error) {
	f, err := st.store.OpenFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil || int64(len(data)) > limit {
		return nil, err
	}
	return data, nil
}

// newImage makes an image of what ref says.
func newImage(ref cas.Ref) *Image {
	im := &Image{Name: ref.Name, Manifest: ref.Digest, Index: ref.Top, Dropped: ref.Dropped, Layers: []Layer{}, ref: ref}
	if ref.Platform != nil {
		im.Platform = ref.Platform.String()
	}
	return im
}

// image makes the image that ref names.
func (st *state) image(ref cas.Ref) (*Image, error) {
	im := newImage(ref)
	if f, ok := st.files[layout.BlobName(ref.Digest)]; ok {
		im.LastUsed = &f.ModTime
	}
	if ref.Top != "" && layout.CheckDigest(ref.Top) == nil {
		if !st.hold(im, layout.BlobName(ref.Top)) {
			im.problem("index %s is missing", ref.Top)
		}
	}
	if err := st.collect(im, manifest.Untyped(ref.MediaType, ref.Digest, ref.Size), map[digest.Digest]bool{}); err != nil {
		return nil, err
	}
	return im, nil
}

func (im *Image) problem(format string, args ...any) {
	im.Problems = append(im.Problems, fmt.Sprintf(format, args...))
}

// hold notes that im holds the file called name, and reports whether that exists.
func (st *state) hold(im *Image, name string) bool {
	_, ok := st.files[name]
	if ok {
		im.holds = append(im.holds, name)
	}
	return ok
}

// collect notes what im holds because of the manifest or index d. What was seen is passed
// over: indexes that name each other many times would otherwise be endless.
func (st *state) collect(im *Image, d manifest.Descriptor, seen map[digest.Digest]bool) error {
	if seen[d.Digest] {
		return nil
	}
	seen[d.Digest] = true
	if !st.hold(im, layout.BlobName(d.Digest)) {
		im.problem("manifest %s is missing", d.Digest)
		return nil
	}
	doc, err := st.document(d)
	if err != nil {
		return err
	}
	im.Problems = append(im.Problems, doc.problems...)
	im.unknown = im.unknown || doc.unknown
	for _, d := range doc.mentioned {
		st.hold(im, layout.BlobName(d))
	}
	if doc.isIndex {
		for _, m := range doc.Manifests {
			if layout.CheckDigest(m.Digest) != nil {
				continue
			}
			if _, ok := st.files[layout.BlobName(m.Digest)]; !ok {
				continue // another platform, which is not here
			}
			if err := st.collect(im, m, seen); err != nil {
				return err
			}
		}
		return nil
	}
	st.artifacts(im, d.Digest)
	if doc.Config != nil && layout.CheckDigest(doc.Config.Digest) == nil {
		st.hold(im, layout.BlobName(doc.Config.Digest))
		im.Config = doc.Config.Digest
	}
	if im.Platform == "" {
		im.Platform = doc.platform
	}
	for i, l := range doc.Layers {
		st.layer(im, i, l, doc.diffIDs)
	}
	for _, name := range st.flat[join(doc.diffIDs)] {
		if doc.diffIDs != nil && st.hold(im, name) {
			im.Artifacts = append(im.Artifacts, st.file(name))
		}
	}
	return nil
}

// artifacts notes the artifacts of the whole image.
func (st *state) artifacts(im *Image, key digest.Digest) {
	for _, name := range st.byKey[key] {
		st.hold(im, name)
		im.Artifacts = append(im.Artifacts, st.file(name))
	}
}

func (st *state) file(name string) File { return File{name, st.files[name].Size} }

// layer notes layer i of a manifest.
func (st *state) layer(im *Image, i int, d manifest.Descriptor, diffIDs []digest.Digest) {
	l := Layer{Digest: d.Digest, Size: d.Size}
	if layout.CheckDigest(d.Digest) != nil {
		im.problem("layer %d: digest %.150q", i, d.Digest)
	} else if im.Dropped { // a blob that is there all the same is not held
		_, l.Blob = st.files[layout.BlobName(d.Digest)]
	} else if l.Blob = st.hold(im, layout.BlobName(d.Digest)); !l.Blob {
		im.problem("layer %d %s is missing", i, d.Digest)
		im.lacking++
	}
	if i < len(diffIDs) {
		l.DiffID = diffIDs[i]
		for _, name := range st.byKey[l.DiffID] {
			st.hold(im, name)
			l.Images = append(l.Images, st.file(name))
		}
	}
	im.Layers = append(im.Layers, l)
}

// count fills the fields of the images that depend on all of them.
func (st *state) count() {
	layers := map[digest.Digest]int{} // how many images have a layer
	for _, im := range st.images {
		slices.Sort(im.holds)
		im.holds = slices.Compact(im.holds)
		for _, name := range im.holds {
			st.holders[name]++
		}
		seen := map[digest.Digest]bool{}
		for _, l := range im.Layers {
			if !seen[l.key()] {
				layers[l.key()]++
			}
			seen[l.key()] = true
		}
	}
	for _, im := range st.images {
		for _, name := range im.holds {
			im.Size += st.files[name].Size
			if st.holders[name] == 1 {
				im.Alone += st.files[name].Size
			}
		}
		for i := range im.Layers {
			im.Layers[i].Shared = layers[im.Layers[i].key()] - 1
		}
	}
}

// key is what makes two layers the same: their content or, if the diff-id is not known,
// their blob.
func (l Layer) key() digest.Digest { return cmp.Or(l.DiffID, l.Digest) }
