package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form07"
	"ocipipe/lib/snapshot/integrity"
)

// UnpackOptions say how an archive is unpacked.
type UnpackOptions struct {
	ReadOptions
	// Images is the directory for the files of the image, if the archive has any; "" leaves
	// them out. It must exist. Its files have the names that package imagefiles says.
	Images string
	// Name is the directory that the head gets; "" stands for the digits of its identity.
	// In form 0.7 it is the group of all snapshots, and "" stands for a name with the
	// first digits of the identifier of the head.
	Name string
}

// ErrExists is wrapped by the errors about a name that is taken by something else.
var ErrExists = errors.New("exists, and is something else")

// ErrImageExists is the ErrExists of a file of the image.
var ErrImageExists = fmt.Errorf("%w", ErrExists)

// Unpack reads an archive and makes the snapshots in it directories in dir. Their files
// are written beside their places, and get there only when all of the archive has been
// read and proven, and nothing else has their names; those of the image come first. Whatever
// fails, both directories are as they were; only if the last steps fail, or the process dies
// there, some of the files and snapshots are already there, complete.
//
// A snapshot that is there already, with the same content, stays as it is.
func Unpack(ctx context.Context, r io.Reader, dir string, o UnpackOptions) (*form.Contents, error) {
	if o.Name != "" {
		if err := CheckName(o.Name); err != nil {
			return nil, err
		}
	}
	dir = filepath.Clean(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	s, err := newStaging(root, dir)
	if err != nil {
		return nil, err
	}
	defer s.remove()
	store := &split{disks: s}
	if o.Images != "" {
		if store.images, err = newImageStore(o.Images); err != nil {
			return nil, err
		}
		defer store.images.close()
	}
	rec := &receiver{ctx: ctx, opts: o.ReadOptions, store: store}
	c, err := rec.receive(r)
	if err != nil {
		return nil, store.about(err)
	}
	var imageErr error
	s.before = func() error {
		imageErr = rec.placeImage(store.images, c)
		return imageErr
	}
	head := c.Snapshots[len(c.Snapshots)-1]
	if head.Form == form07.Form {
		err = s.unpackGroup(ctx, dir, o.Name, c, o.warn)
	} else {
		if o.Name != "" {
			head.Dir = o.Name
		}
		err = s.unpack(ctx, dir, c)
	}
	if imageErr != nil {
		return nil, imageErr // of another directory
	}
	return c, s.about(err)
}

// placeImage puts the files of the image into their directory.
func (r *receiver) placeImage(s *imageStore, c *form.Contents) error {
	switch {
	case r.image == nil:
		return nil
	case s == nil:
		r.opts.warn("%d files of the image are left out", len(c.Image))
		return nil
	}
	sums := map[string]digest.Digest{}
	for _, m := range r.members {
		sums[m.Name] = m.SHA256
	}
	return s.about(s.placeImage(r.image, r.metadata, sums))
}

func (s *staging) unpack(ctx context.Context, dir string, c *form.Contents) error {
	var missing []string
	for _, snap := range c.Snapshots {
		there, err := s.isThere(ctx, s.parent, dir, snap.Dir, snap)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := s.placeSnapshot(snap); err != nil {
			return err
		}
		missing = append(missing, snap.Dir)
	}
	return s.publishAll(ctx, ".", missing...)
}

// isThere reports whether root, the directory at, has the snapshot already, called name. It
// is an error if it has something else of that name.
func (s *staging) isThere(ctx context.Context, root *os.Root, at, name string, snap *form.Snapshot) (bool, error) {
	if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	path := filepath.Join(at, name)
	d, err := OpenDirectory(path)
	if err != nil {
		return false, fmt.Errorf("%s: %w: %w", path, ErrExists, err)
	}
	defer d.Close()
	switch {
	case d.ID != snap.ID:
		return false, fmt.Errorf("%s: %w: the snapshot %s", path, ErrExists, d.ID)
	case d.Digest != snap.Digest:
		return false, fmt.Errorf("%s: %w: its descriptor is %s, not %s", path, ErrExists, d.Digest, snap.Digest)
	}
	return true, s.compare(ctx, d, snap)
}

// compare returns an error unless d has the disks of snap, which has the same descriptor.
// Where that has no integrity, they are compared with each other.
func (s *staging) compare(ctx context.Context, d *Directory, snap *form.Snapshot) error {
	if err := d.Verify(ctx, nil); err != nil {
		return err
	}
	for i := range d.Disks {
		disk := &d.Disks[i]
		if disk.Integrity != nil {
			continue
		}
		there, err := d.openDisk(disk)
		if err != nil {
			return err
		}
		defer there.Close()
		ours, err := s.open(snap.Member(disk.Name))
		if err != nil {
			return err
		}
		defer ours.Close()
		var roots [2]string
		for k, f := range []*os.File{there, ours} {
			if roots[k], err = integrity.Root(ctx, integrity.File(f, disk.Size), disk.Size); err != nil {
				return err
			}
		}
		if roots[0] != roots[1] {
			return fmt.Errorf("%s: %w: a disk with another content", there.Name(), ErrExists)
		}
	}
	return nil
}

// placeSnapshot makes the directory of a snapshot, within the staging directory.
func (s *staging) placeSnapshot(snap *form.Snapshot) error {
	return s.place(snap.Dir, snap.Files, func(at string, f form.File) error {
		if f.Member != "" {
			return s.root.Rename(s.files[f.Member], at)
		}
		return s.root.WriteFile(at, f.Data, 0o644)
	})
}

// CheckName accepts names for the directory of a snapshot: those that microsandbox takes,
// but for 64 hex digits, which stand for an identity.
func CheckName(name string) error {
	if name == "" || len(name) > 200 || name[0] == '.' || name[0] == '~' || name[0] == '-' {
		return fault.Unsupported("%.60q is not a name for a snapshot", name)
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == ':' {
			return fault.Unsupported("%.60q is not a name for a snapshot", name)
		}
	}
	if len(name) == 64 && isHex(name) {
		return fault.Unsupported("%.64q is not a name for a snapshot: 64 hex digits are an identity", name)
	}
	return nil
}

func isHex(s string) bool {
	for _, c := range s {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}
