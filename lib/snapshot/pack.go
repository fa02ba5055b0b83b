package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/integrity"
)

// packing is the writing of an archive.
type packing struct {
	ctx     context.Context
	opts    ArchiveOptions
	out     *archive.Writer
	listing form.Listing
	written map[string]bool // disks
	count   int             // how many snapshots the archive gets
}

// newPacking returns the writing of an archive, of a snapshot and its parents.
func newPacking(ctx context.Context, o ArchiveOptions) (*packing, error) {
	listing, err := newListing(o.Form)
	if err == nil && o.Name != "" {
		err = CheckSuggestedName(o.Name)
	}
	for _, parent := range o.Parents {
		if err == nil && parent.Name != "" && parent.Name == o.Name {
			err = fault.Unsupported("the name %s is that of the parent %s", o.Name, parent.Path)
		}
	}
	return &packing{ctx: ctx, opts: o, listing: listing, written: map[string]bool{}, count: 1 + len(o.Parents)}, err
}

// CheckSuggestedName accepts names that an archive may suggest: up to 255 bytes of UTF-8,
// without slashes. One that has no form of a name of the tools that read it is ignored there.
func CheckSuggestedName(name string) error {
	if name == "" || len(name) > 255 || strings.ContainsAny(name, `/\`) || !utf8.ValidString(name) {
		return fault.Unsupported("%.60q is not a name that an archive may suggest", name)
	}
	return nil
}

// run writes the archive: the parents, then what head writes, then the inventory.
func (p *packing) run(w io.Writer, head func() error, id string) (err error) {
	if p.out, err = archive.NewWriter(p.ctx, w, p.opts.WriterOptions); err != nil {
		return err
	}
	defer p.out.Abort()
	for _, parent := range p.opts.Parents {
		if err := p.directory(parent); err != nil {
			return err
		}
	}
	if err := head(); err != nil {
		return err
	}
	if p.opts.Image != nil {
		if err := p.image(p.opts.Image); err != nil {
			return err
		}
	}
	name, data := p.listing.Inventory(id, p.opts.Name, len(p.opts.Parents) > 0)
	if _, err := p.out.AddBytes(name, "", data); err != nil {
		return err
	}
	return p.out.Close()
}

// begin adds the members of a snapshot that come before its disk.
func (p *packing) begin(s *form.Packed) error {
	for _, m := range s.Members {
		e, err := p.out.AddBytes(m.Name, m.Kind, m.Data)
		if err != nil {
			return err
		}
		p.listing.List(e, s.ID, nil)
	}
	return nil
}

// disk adds the disk of a snapshot, which is in f. tap, unless it is nil, gets its data.
func (p *packing) disk(s *form.Packed, f *os.File, path string, tap func(int64, []byte) error) error {
	if p.written[s.Path] {
		return nil // that of a snapshot before
	}
	p.written[s.Path] = true
	data, err := runs(f, s.Disk.Size)
	if err != nil {
		return err
	}
	e, err := p.out.Add(archive.Content{
		Name: s.Path, Kind: s.Kind, From: f, Tap: tap,
		Size: s.Disk.Size, Runs: archive.MapLimit(data, s.Disk.Size, max(2, p.listing.MaxRuns()/p.count)),
	})
	if err != nil {
		return named(path, err)
	}
	p.listing.List(e, s.ID, s.Disk.Integrity)
	return nil
}

// checkedDisk is disk for one that others may be writing to.
func (p *packing) checkedDisk(s *form.Packed, u *upper) error {
	again := integrity.NewBuilder(p.ctx, u.size)
	defer again.Close()
	if err := p.disk(s, u.file, u.path, again.Add); err != nil {
		return err
	}
	root, err := again.Digest()
	if err == nil && root != s.Disk.Integrity.Digest {
		err = fmt.Errorf("%s: %w", u.path, ErrChanged)
	}
	return err
}

// directory adds a snapshot in a directory.
func (p *packing) directory(dir *Directory) error {
	s, err := p.listing.Pack(dir.source())
	if err != nil {
		return fmt.Errorf("%s: %w", dir.Path, err)
	}
	if err := p.begin(s); err != nil || s.Disk == nil {
		return err
	}
	disk := &dir.Disks[0]
	f, err := dir.openDisk(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	before := dir.verified[disk.Name] // not what it may have become since
	path := filepath.Join(dir.Path, filepath.FromSlash(disk.Name))
	err = checkUnchanged(f, before)
	if err == nil {
		err = p.disk(s, f, path, nil)
		if changed := checkUnchanged(f, before); changed != nil && !errors.As(err, new(*fs.PathError)) {
			err = changed // which explains what p.disk has met, unless that is about the output
		}
	}
	if err != nil {
		err = named(path, err)
	}
	return err
}

// source returns what is packed of d beside its disk.
func (d *Directory) source() form.Source {
	return form.Source{Form: d.Form, Descriptor: d.descriptor, Labels: d.Labels, Name: d.Name}
}

// PackDirectory writes the snapshot in a directory as an archive to w. It verifies the
// directory first, and the parents of o. It returns the identity that the snapshot has in the
// archive.
func PackDirectory(ctx context.Context, w io.Writer, dir *Directory, o ArchiveOptions) (id string, err error) {
	if err := verifyAll(ctx, append(slices.Clone(o.Parents), dir)); err != nil {
		return "", err
	}
	if o.Form == "" {
		o.Form = dir.Form
	}
	p, err := newPacking(ctx, o)
	if err != nil {
		return "", err
	}
	head, err := p.listing.Pack(dir.source())
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir.Path, err)
	}
	return head.ID, p.run(w, func() error { return p.directory(dir) }, head.ID)
}

func verifyAll(ctx context.Context, dirs []*Directory) error {
	for _, d := range dirs {
		if err := d.Verify(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// FindParents opens the chain of snapshots that begins with the identity id, in the
// directories beside each other in dir, oldest first. The caller closes them.
func FindParents(dir, id string) (chain []*Directory, err error) {
	byID, err := listDirectories(dir)
	if err != nil {
		return nil, err
	}
	for seen := map[string]bool{}; id != ""; {
		path, ok := byID[id]
		if !ok {
			return chain, fault.Corrupt("%s: the parent %s is not there", dir, id)
		}
		if seen[id] {
			return chain, fault.Corrupt("%s: %s is its own ancestor", dir, id)
		}
		seen[id] = true
		d, err := OpenDirectory(path)
		if err != nil {
			return chain, err
		}
		chain = append([]*Directory{d}, chain...)
		id = d.Parent
	}
	return chain, nil
}

// listDirectories returns the snapshots in the directories below dir, by identity.
func listDirectories(dir string) (map[string]string, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	byID := map[string]string{}
	for _, name := range names {
		path := dir + "/" + name.Name()
		if !name.IsDir() || strings.HasPrefix(name.Name(), stagingPrefix) {
			continue
		}
		d, err := OpenDirectory(path)
		if err != nil {
			continue // not a snapshot, or a damaged one: it may not be needed
		}
		byID[d.ID] = path
		d.Close()
	}
	return byID, nil
}
