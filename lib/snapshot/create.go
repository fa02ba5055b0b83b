package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/form07"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// CreateOptions say what is captured.
type CreateOptions struct {
	Upper  string // the disk: a file or a block device
	FSType string // of its file system; "" stands for ext4
	Image  form06.Image
	Pin    *Pin // more about the image; nil if only its manifest is known

	Form       string // "0.6" or "0.7"; "" stands for 0.6
	CreatedAt  string // RFC 3339; "" is when the file system was last written
	Parent     string // identity of another snapshot, of either form for 0.7; or ""
	Source     string // name of the sandbox, or ""
	Labels     map[string]string
	Extensions map[string]*strictjson.Value

	// AllowDirty allows a disk that is in use, or whose file system was not unmounted. The
	// descriptor says so.
	AllowDirty bool

	// Warn takes messages to the user; nil drops them.
	Warn func(msg string)
}

func (o *CreateOptions) warn(format string, args ...any) {
	if o.Warn != nil {
		o.Warn(fmt.Sprintf(format, args...))
	}
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
	if err := checkKeys("label", o.Labels); err != nil {
		return nil, err
	}
	if err := checkKeys("extension", o.Extensions); err != nil {
		return nil, err
	}
	u, err := openUpper(o.Upper, o.FSType, o.AllowDirty)
	if err != nil {
		return nil, err
	}
	return &Creation{o, u}, nil
}

// checkKeys refuses keys that are those of notes.
func checkKeys[T any](what string, values map[string]T) error {
	for key := range values {
		if strings.HasPrefix(key, notePrefix) {
			return fault.Unsupported("%s %.60q: names that begin with %s are not free", what, key, notePrefix)
		}
	}
	return nil
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
		Scope: form06.ScopeDisk, CreatedAt: created, Image: o.Image,
		File: &form06.File{Format: form06.Raw, FSType: o.FSType, Name: upperName, Size: u.size,
			Integrity: &integrity.Sum{Algorithm: integrity.Merkle, Digest: root, Size: u.size}},
		Labels: maps.Clone(o.Labels), Extensions: map[string]*strictjson.Value{},
	}
	if o.Source != "" {
		d.Source = &o.Source
	}
	for k, v := range o.Extensions {
		d.Extensions[k] = v
	}
	if o.Pin != nil {
		c.note(d, NotePin, o.Pin.note())
	}
	if len(u.dirty) > 0 {
		reasons := strictjson.List()
		for _, r := range u.dirty {
			reasons.Items = append(reasons.Items, strictjson.Str(r))
		}
		c.note(d, NoteConsistency, strictjson.Map().Set("state", strictjson.Str("dirty")).Set("reasons", reasons))
	}
	return d, nil
}

// note records what other programs need not know: in form 0.7 in an extension, in form 0.6
// as JSON in a label, because microsandbox 0.7 refuses that form with an extension.
func (c *Creation) note(d *form06.Descriptor, key string, v *strictjson.Value) {
	if c.opts.Form == form07.Form {
		d.Extensions[key] = v
		return
	}
	if d.Labels == nil {
		d.Labels = map[string]string{}
	}
	d.Labels[key] = string(strictjson.Append(nil, v))
}

// source returns the snapshot in its form, without its disk, which has the root.
func (c *Creation) source(root string) (form.Source, error) {
	old, err := c.describe(root)
	if err != nil {
		return form.Source{}, err
	}
	if !form07.IsID(c.opts.Parent) {
		old.Parent = digest.Digest(c.opts.Parent)
	} else if c.opts.Form != form07.Form {
		return form.Source{}, fault.Unsupported("the parent %s has form %s, the snapshot form %s", c.opts.Parent, form07.Form, form06.Form)
	}
	if err := old.Check(); err != nil {
		return form.Source{}, err
	}
	if c.opts.Form != form07.Form {
		if len(old.Extensions) > 0 {
			c.opts.warn("microsandbox 0.7 refuses a snapshot of form 0.6 with extensions; one of form 0.7 may have them")
		}
		return form.Source{Form: form06.Form, Descriptor: old.Encode()}, nil
	}
	d, labels, err := form07.Convert(old)
	if err == nil && form07.IsID(c.opts.Parent) {
		err = d.SetParent(c.opts.Parent, old)
	}
	if err != nil {
		return form.Source{}, err
	}
	return form.Source{Form: form07.Form, Descriptor: d.Encode(), Labels: labels}, nil
}

// packed returns the snapshot as it is written, without its disk, which has the root.
func (c *Creation) packed(l form.Listing, root string) (*form.Packed, error) {
	s, err := c.source(root)
	if err != nil {
		return nil, err
	}
	return l.Pack(s)
}

// WriteDirectory makes the snapshot at path, which must not exist; in form 0.7 path is a
// group, which gets the snapshot, and may exist. The disk is copied with its holes; with
// reflink it is an error if the copy cannot share the blocks of the disk. On failure
// nothing is left. It returns the identity.
func (c *Creation) WriteDirectory(ctx context.Context, path string, reflink bool) (id string, err error) {
	path = filepath.Clean(path)
	dir, name := filepath.Dir(path), filepath.Base(path)
	check, write := CheckName, c.writePlain
	if c.opts.Form == form07.Form {
		check, write = form07.CheckName, c.writeInGroup
	}
	if err := check(name); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	s, err := newStaging(root, path)
	if err != nil {
		return "", err
	}
	defer s.remove()
	id, err = write(ctx, s, dir, name, reflink)
	return id, s.about(err)
}

// writePlain makes the directory name of dir.
func (c *Creation) writePlain(ctx context.Context, s *staging, dir, name string, reflink bool) (string, error) {
	if _, err := s.parent.Lstat(name); err == nil {
		return "", &fs.PathError{Op: "create", Path: filepath.Join(dir, name), Err: fs.ErrExist}
	}
	id, err := c.place(ctx, s, name, reflink)
	if err == nil {
		err = s.publish(".", name)
	}
	return id, err
}

// place makes the directory within the staging directory. The root is that of the copy, so
// that it is right even if the disk has changed meanwhile.
func (c *Creation) place(ctx context.Context, s *staging, name string, reflink bool) (id string, err error) {
	err = s.place(name, []form.File{{Name: upperName}, {Name: form06.DescriptorName}}, func(at string, f form.File) error {
		if f.Name == upperName {
			return c.copyDisk(ctx, s, at, reflink)
		}
		p, err := c.packCopy(ctx, s, filepath.Join(name, upperName), &form06.Listing{})
		if err != nil {
			return err
		}
		id = p.ID
		return s.root.WriteFile(at, p.Files[0].Data, 0o644)
	})
	return id, err
}

// copyDisk makes the file at in the staging directory a copy of the disk, which those may
// read that may read the disk.
func (c *Creation) copyDisk(ctx context.Context, s *staging, at string, reflink bool) error {
	fi, err := c.upper.file.Stat()
	if err != nil {
		return err
	}
	f, err := s.root.OpenFile(at, os.O_RDWR|os.O_CREATE|os.O_EXCL, fi.Mode().Perm()&0o644|0o600)
	if err != nil {
		return err
	}
	err = errors.Join(c.upper.copyDisk(ctx, f, reflink), f.Close())
	if err == nil && !c.upper.unlocked() {
		err = c.upper.check()
	}
	return err
}

// packCopy returns the snapshot, whose disk is the copy at in the staging directory.
func (c *Creation) packCopy(ctx context.Context, s *staging, at string, l form.Listing) (*form.Packed, error) {
	f, err := s.root.Open(at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum, err := integrity.Root(ctx, integrity.File(f, c.upper.size), c.upper.size)
	if err != nil {
		return nil, err
	}
	return c.packed(l, sum)
}

// writeInGroup puts the snapshot into the group name of dir.
func (c *Creation) writeInGroup(ctx context.Context, s *staging, dir, name string, reflink bool) (string, error) {
	if err := c.copyDisk(ctx, s, upperName, reflink); err != nil {
		return "", err
	}
	s.files[upperName] = upperName
	p, err := c.packCopy(ctx, s, upperName, &form07.Listing{})
	if err != nil {
		return "", err
	}
	snap := &form.Snapshot{Info: p.Info, Files: append(p.Files, form.File{Name: p.Disk.Name, Member: upperName})}
	return p.ID, s.install(ctx, filepath.Join(dir, name), p.ID, []*form.Snapshot{snap}, c.opts.warn)
}

// ArchiveOptions say how an archive is written, and what is in it beside the snapshot.
type ArchiveOptions struct {
	archive.WriterOptions
	Form    string       // "0.6" or "0.7"; "" stands for that of the snapshot
	Name    string       // that the archive suggests for the snapshot, or ""
	Image   *ImageFiles  // files of the image that the archive has too; nil for none
	Parents []*Directory // snapshots that the archive has too, with their disks
}

// WriteArchive writes the snapshot as an archive to w, from its beginning to its end. The
// disk is read twice: first for its root, which the descriptor at the beginning has. If it
// is written to meanwhile, the error is ErrChanged. The parents of o are verified first. The
// form is that of the snapshot. It returns the identity.
func (c *Creation) WriteArchive(ctx context.Context, w io.Writer, o ArchiveOptions) (string, error) {
	o.Form = c.opts.Form
	p, err := newPacking(ctx, o)
	if err != nil {
		return "", err
	}
	if err := verifyAll(ctx, o.Parents); err != nil {
		return "", err
	}
	u := c.upper
	root, err := integrity.Root(ctx, u.source(), u.size)
	if err != nil {
		return "", fmt.Errorf("%s: %w", u.path, err)
	}
	s, err := c.packed(p.listing, root)
	if err != nil {
		return "", err
	}
	err = p.run(w, func() error {
		if err := p.begin(s); err != nil {
			return err
		}
		if u.unlocked() {
			return p.checkedDisk(s, u)
		}
		if err := p.disk(s, u.file, u.path, nil); err != nil {
			return err
		}
		return u.check()
	}, s.ID)
	return s.ID, err
}
