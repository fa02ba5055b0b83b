package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
	ocimanifest "ocipipe/lib/oci/manifest"
	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/imagefiles"
	"ocipipe/lib/snapshot/integrity"
)

// ErrNoImage is wrapped by the errors about an image that a cache does not have as a whole:
// manifest, configuration, and the images of its layers, merged and each.
var ErrNoImage = errors.New("is not in the cache")

// ImageFiles are the files of an image for an archive.
type ImageFiles struct {
	metadata []byte
	name     string // of the metadata
	disk     []byte
	image    *imagefiles.Image
	files    map[string]*os.File // by name in the archive
	use      *cas.Use
}

// OpenImage opens the files of the image in the cache at dir, which must exist. They stay
// in the cache until the caller closes them.
func OpenImage(ctx context.Context, dir string, img form06.Image) (*ImageFiles, error) {
	if _, err := os.Stat(filepath.Join(dir, layout.File)); err != nil {
		return nil, err
	}
	store, err := cas.Open(ctx, dir, cas.Options{})
	if err != nil {
		return nil, err
	}
	i := &ImageFiles{name: imagefiles.MetadataName(imagefiles.Normalize(img.Ref)), files: map[string]*os.File{}}
	if i.use, err = store.Use(ctx, "snapshot-pack", []string{layout.BlobName(img.Manifest)}); err != nil && !errors.Is(err, cas.ErrStore) {
		return nil, err
	}
	if err := i.open(ctx, store, dir, img.Manifest); err != nil {
		i.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s: %s: %w", dir, img.Manifest, ErrNoImage)
		}
		return nil, err
	}
	return i, nil
}

func (i *ImageFiles) open(ctx context.Context, store *cas.Store, dir string, d digest.Digest) error {
	rawManifest, err := readBlob(ctx, store, d)
	if err != nil {
		return err
	}
	doc, isIndex, err := ocimanifest.Parse(rawManifest, ocimanifest.Untyped("", d, int64(len(rawManifest))))
	if err != nil || isIndex || doc.Config == nil {
		return fmt.Errorf("%s: not the manifest of one image: %w", d, err)
	}
	rawConfig, err := readBlob(ctx, store, doc.Config.Digest)
	if err != nil {
		return err
	}
	if i.metadata, i.image, err = imagefiles.Encode(rawManifest, rawConfig); err != nil {
		return err
	}
	abis, err := os.ReadDir(filepath.Join(dir, "fsmeta"))
	if err != nil {
		return err
	}
	for _, abi := range slices.Backward(abis) { // the newest version that has all
		if err = i.openArtifacts(ctx, store, abi.Name()); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fs.ErrNotExist
}

func readBlob(ctx context.Context, store *cas.Store, d digest.Digest) ([]byte, error) {
	b, err := store.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	data, err := io.ReadAll(io.LimitReader(b, form.MaxMeta))
	if err == nil && digest.FromBytes(data) != d {
		err = fmt.Errorf("%s: the cache has other content", d)
	}
	return data, err
}

// openArtifacts opens the images that a version of the writers has made.
func (i *ImageFiles) openArtifacts(ctx context.Context, store *cas.Store, abi string) error {
	artifacts := map[string]cas.Artifact{
		i.image.FSMetaName(): {Kind: "fsmeta", ABI: abi, Key: i.image.Manifest, Ext: "erofs"},
	}
	for _, d := range i.image.Layers {
		artifacts[imagefiles.LayerName(d)] = cas.Artifact{Kind: "layers", ABI: abi, Key: d, Ext: "erofs"}
	}
	var used []string
	for _, a := range artifacts {
		if err := a.Check(); err != nil {
			return fs.ErrNotExist // not the directory of a version
		}
		used = append(used, a.Name())
	}
	if i.use != nil {
		if err := i.use.Add(ctx, used); err != nil && !errors.Is(err, cas.ErrStore) {
			return err
		}
	}
	i.closeFiles()
	for name, a := range artifacts {
		f, err := store.Artifact(ctx, a)
		if err != nil {
			return err
		}
		i.files[name] = f
	}
	var err error
	i.disk, err = i.image.Disk(func(name string) string { return store.Path(artifacts[name]) })
	return err
}

func (i *ImageFiles) closeFiles() {
	for name, f := range i.files {
		f.Close()
		delete(i.files, name)
	}
}

// Close closes the files.
func (i *ImageFiles) Close() error {
	i.closeFiles()
	i.use.Release()
	return nil
}

// image adds the files of an image.
func (p *packing) image(i *ImageFiles) error {
	if err := p.imageFile(i.name, form06.KindMetadata, int64(len(i.metadata)), bytesAt(i.metadata)); err != nil {
		return err
	}
	for _, name := range i.image.Objects() {
		if name == i.image.DiskName() {
			if err := p.imageFile(name, form06.KindObject, int64(len(i.disk)), bytesAt(i.disk)); err != nil {
				return err
			}
			continue
		}
		fi, err := i.files[name].Stat()
		if err == nil {
			err = p.imageFile(name, form06.KindObject, fi.Size(), i.files[name])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *packing) imageFile(name, kind string, size int64, from io.ReaderAt) error {
	sum := sha256.New()
	e, err := p.out.Add(archive.Content{Name: name, Kind: kind, Size: size, From: from, Tap: func(_ int64, b []byte) error {
		sum.Write(b)
		return nil
	}})
	if err != nil {
		return err
	}
	d := digest.NewDigest(digest.SHA256, sum)
	p.listing.List(e, "", &integrity.Sum{Algorithm: integrity.SHA256, Digest: d.String(), Size: size})
	return nil
}

// bytesAt is a content in memory.
type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
