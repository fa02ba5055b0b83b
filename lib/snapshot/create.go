package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// CreateOptions say what is captured.
type CreateOptions struct {
	Upper  string // the disk: a file or a block device
	FSType string // of its file system; "" stands for ext4
	Image  form06.Image
	Pin    *Pin // more about the image; nil if only its manifest is known

	CreatedAt  string        // RFC 3339; "" is when the file system was last written
	Parent     digest.Digest // identity of another snapshot, or ""
	Source     string        // name of the sandbox, or ""
	Labels     map[string]string
	Extensions map[string]*strictjson.Value

	// AllowDirty allows a disk that is in use, or whose file system was not unmounted. The
	// descriptor says so.
	AllowDirty bool
}

// upperName is what the disk is called in a snapshot.
const upperName = "upper.ext4"

// Creation is a snapshot in the making. The disk is locked against writers until Close.
type Creation struct {
	opts  CreateOptions
	upper *upper
}

// Create opens the disk for a snapshot. The caller then calls WriteDirectory or
// WriteArchive, and Close.
//
// A disk that may be inconsistent is a [*DirtyError] unless AllowDirty is set, a disk of
// another format a [*Qcow2Error].
func Create(o CreateOptions) (*Creation, error) {
	if o.FSType == "" {
		o.FSType = FSTypeExt4
	}
	u, err := openUpper(o.Upper, o.FSType, o.AllowDirty)
	if err != nil {
		return nil, err
	}
	return &Creation{o, u}, nil
}

// Close frees the disk.
func (c *Creation) Close() error { return c.upper.file.Close() }

// describe returns the descriptor of the snapshot, whose disk has the root.
func (c *Creation) describe(root string) (*form06.Descriptor, error) {
	o, u := &c.opts, c.upper
	created := form06.FormatTime(time.Unix(0, 0))
	if !u.written.IsZero() {
		created = form06.FormatTime(u.written)
	}
	if o.CreatedAt != "" {
		var err error
		if created, err = form06.Time(o.CreatedAt); err != nil {
			return nil, err
		}
	}
	d := &form06.Descriptor{
		Scope: form06.ScopeDisk, CreatedAt: created, Parent: o.Parent, Image: o.Image,
		File: &form06.File{Format: form06.Raw, FSType: o.FSType, Name: upperName, Size: u.size,
			Integrity: &integrity.Sum{Algorithm: integrity.Merkle, Digest: root, Size: u.size}},
		Labels: o.Labels, Extensions: map[string]*strictjson.Value{},
	}
	if o.Source != "" {
		d.Source = &o.Source
	}
	for k, v := range o.Extensions {
		d.Extensions[k] = v
	}
	if o.Pin != nil {
		d.Extensions[ExtensionPin] = o.Pin.extension()
	}
	if len(u.dirty) > 0 {
		reasons := strictjson.List()
		for _, r := range u.dirty {
			reasons.Items = append(reasons.Items, strictjson.Str(r))
		}
		d.Extensions[ExtensionConsistency] = strictjson.Map().Set("state", strictjson.Str("dirty")).Set("reasons", reasons)
	}
	return d, d.Check()
}

// WriteDirectory makes the snapshot at path, which must not exist. The disk is copied with
// its holes; with reflink it is an error if the copy cannot share the blocks of the disk.
// On failure nothing is left. It returns the identity.
func (c *Creation) WriteDirectory(ctx context.Context, path string, reflink bool) (digest.Digest, error) {
	path = filepath.Clean(path)
	dir, name := filepath.Dir(path), filepath.Base(path)
	if err := CheckName(name); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if _, err := root.Lstat(name); err == nil {
		return "", &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	s, err := newStaging(root)
	if err != nil {
		return "", in(dir, err)
	}
	defer s.remove()
	id, err := c.place(ctx, s, name, reflink)
	if err == nil {
		err = s.publish(name, name)
	}
	return id, in(dir, err)
}

// place makes the directory within the staging directory. The root is that of the copy, so
// that it is right even if the disk has changed meanwhile.
func (c *Creation) place(ctx context.Context, s *staging, name string, reflink bool) (id digest.Digest, err error) {
	err = s.place(name, []string{upperName, form06.DescriptorName}, func(at, file string) error {
		f, err := s.root.OpenFile(at, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		if file == upperName {
			return errors.Join(c.upper.copyDisk(ctx, f, reflink), f.Close())
		}
		d, err := c.describeCopy(ctx, s.root, filepath.Join(name, upperName))
		if err == nil {
			id = d.ID()
			_, err = f.Write(d.Encode())
		}
		return errors.Join(err, f.Close())
	})
	if err == nil && !c.upper.unlocked() {
		err = c.upper.check()
	}
	return id, err
}

func (c *Creation) describeCopy(ctx context.Context, root *os.Root, name string) (*form06.Descriptor, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum, err := integrity.Root(ctx, integrity.File(f, c.upper.size), c.upper.size)
	if err != nil {
		return nil, err
	}
	return c.describe(sum)
}

// ArchiveOptions say how an archive is written, and what is in it beside the snapshot.
type ArchiveOptions struct {
	archive.WriterOptions
	Name    string       // that the archive suggests for the snapshot, or ""
	Parents []*Directory // snapshots that the archive has too, with their disks
}

// WriteArchive writes the snapshot as an archive to w, from its beginning to its end. The
// disk is read twice: first for its root, which the descriptor at the beginning has. If it
// is written to meanwhile, the error is ErrChanged. It returns the identity.
func (c *Creation) WriteArchive(ctx context.Context, w io.Writer, o ArchiveOptions) (digest.Digest, error) {
	u := c.upper
	root, err := integrity.Root(ctx, u.source(), u.size)
	if err != nil {
		return "", fmt.Errorf("%s: %w", u.path, err)
	}
	d, err := c.describe(root)
	if err != nil {
		return "", err
	}
	p := &packing{ctx: ctx, opts: o}
	err = p.run(w, func() error {
		if err := p.descriptor(d); err != nil {
			return err
		}
		if u.unlocked() {
			return p.checkedDisk(d, u)
		}
		if err := p.disk(d, u.file, u.path, nil); err != nil {
			return err
		}
		return u.check()
	}, d.ID())
	return d.ID(), err
}
