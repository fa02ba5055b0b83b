package snapshot

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/imagefiles"
)

// checkImage compares the files of the image in an archive with the head: the metadata must
// lead from its manifest to just these files.
func (r *receiver) checkImage(c *form.Contents) (*imagefiles.Image, error) {
	if len(c.Image) == 0 {
		return nil, nil
	}
	head := &c.Snapshots[len(c.Snapshots)-1].Info
	name := imagefiles.MetadataName(imagefiles.Normalize(head.Reference))
	at := slices.IndexFunc(r.members, func(m *form.Received) bool { return m.Name == name })
	if at < 0 {
		return nil, fault.Corrupt("the archive has files of an image, but not its metadata, %s", name)
	}
	r.metadata = r.members[at]
	img, err := imagefiles.Decode(r.metadata.Data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if img.Manifest != head.Manifest {
		return nil, fault.Corrupt("%s: the image has the manifest %s, and the snapshot stands on %s", name, img.Manifest, head.Manifest)
	}
	rest := map[string]bool{}
	for _, n := range c.Image {
		rest[n] = true
	}
	for _, n := range append(img.Objects(), name) {
		if !rest[n] {
			return nil, fault.Corrupt("%s is missing in the archive", n)
		}
		delete(rest, n)
	}
	for _, n := range slices.Sorted(maps.Keys(rest)) {
		return nil, fault.Corrupt("%s is not a file of the image", n)
	}
	return img, nil
}

// imageStore takes the files of the image, in a directory of their own.
type imageStore struct {
	*staging
	dir string
}

// newImageStore opens the directory for the files of an image.
func newImageStore(dir string) (*imageStore, error) {
	dir = filepath.Clean(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s, err := newStaging(root, dir)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &imageStore{s, dir}, nil
}

func (s *imageStore) close() {
	s.remove()
	s.parent.Close()
}

// imageFile is a file of the image that is complete in the staging directory.
type imageFile struct {
	from, to string // there, and in the parent
	sum      digest.Digest
}

// placeImage puts the files of the image into the directory. What is there already must be
// the same; if anything is not, nothing is put there.
func (s *imageStore) placeImage(img *imagefiles.Image, metadata *form.Received, sums map[string]digest.Digest) error {
	files, err := s.imageFiles(img, metadata, sums)
	if err != nil {
		return err
	}
	var missing []imageFile
	for _, f := range files {
		switch have, err := s.sumOf(f.to); {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, f)
		case err != nil:
			return fmt.Errorf("%s: %w: %w", filepath.Join(s.dir, f.to), ErrImageExists, err)
		case have != f.sum:
			return fmt.Errorf("%s: %w", filepath.Join(s.dir, f.to), ErrImageExists)
		}
	}
	for _, f := range missing {
		if err := s.placeFile(f); err != nil {
			return err
		}
	}
	return nil
}

// imageFiles returns the files of the image, those that name others after them.
func (s *imageStore) imageFiles(img *imagefiles.Image, metadata *form.Received, sums map[string]digest.Digest) ([]imageFile, error) {
	disk, err := img.Disk(func(name string) string { return filepath.Join(s.dir, s.name, s.files[name]) })
	if err != nil {
		return nil, err
	}
	var files []imageFile
	add := func(from, name string, sum digest.Digest) {
		files = append(files, imageFile{from, strings.TrimPrefix(name, imagefiles.Dir), sum})
	}
	for _, name := range img.Objects() {
		if name != img.DiskName() {
			add(s.files[name], name, sums[name])
		}
	}
	for _, small := range []struct {
		from, name string
		data       []byte
	}{{"disk", img.DiskName(), disk}, {"metadata", metadata.Name, metadata.Data}} {
		if err := s.root.WriteFile(small.from, small.data, 0o644); err != nil {
			return nil, err
		}
		add(small.from, small.name, digest.FromBytes(small.data))
	}
	return files, nil
}

// placeFile moves a file of the staging directory to its name, where nothing is.
func (s *imageStore) placeFile(f imageFile) error {
	if err := s.parent.MkdirAll(path.Dir(f.to), 0o755); err != nil {
		return s.beside(err)
	}
	if err := syncIn(s.root, f.from); err != nil {
		return err
	}
	if err := s.parent.Rename(path.Join(s.name, f.from), f.to); err != nil {
		return s.beside(err)
	}
	return s.beside(syncIn(s.parent, path.Dir(f.to)))
}

func (s *imageStore) sumOf(name string) (digest.Digest, error) {
	f, _, err := openRegular(s.parent, name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return digest.NewDigest(digest.SHA256, h), err
}

// split is the store of an archive: disks go to one place, files of the image to another,
// or nowhere if that is nil.
type split struct {
	disks  *staging
	images *imageStore
}

func (s *split) create(name string, size int64) (storeFile, error) {
	switch {
	case !strings.HasPrefix(name, imagefiles.Dir):
		return s.disks.create(name, size)
	case s.images == nil || path.Ext(name) == ".vmdk": // it is made again
		return discard{}, nil
	}
	return s.images.create(name, size)
}

// about is that of both places.
func (s *split) about(err error) error {
	if s.images != nil {
		err = s.images.about(err)
	}
	return s.disks.about(err)
}

func (s *split) open(name string) (*os.File, error) { return s.disks.open(name) }

// discard is a file that nobody wants.
type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (discard) Close() error                           { return nil }
