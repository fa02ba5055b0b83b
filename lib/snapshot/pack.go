package snapshot

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/integrity"
)

// packing is the writing of an archive.
type packing struct {
	ctx       context.Context
	opts      ArchiveOptions
	out       *archive.Writer
	inventory form06.Inventory
}

// run writes the archive: the parents, then what head writes, then the inventory.
func (p *packing) run(w io.Writer, head func() error, id digest.Digest) (err error) {
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
	inv := &p.inventory
	inv.Head, inv.Requires = id, []string{archive.Transport}
	inv.WithParents = len(p.opts.Parents) > 0
	if p.opts.Name != "" {
		inv.SuggestedName = &p.opts.Name
	}
	slices.Sort(inv.Snapshots)
	slices.SortFunc(inv.Entries, func(a, b form06.Entry) int { return strings.Compare(a.Path, b.Path) })
	if _, err := p.out.AddBytes(form06.InventoryName, "", inv.Encode()); err != nil {
		return err
	}
	return p.out.Close()
}

// descriptor adds the descriptor of a snapshot.
func (p *packing) descriptor(d *form06.Descriptor) error {
	id := d.ID()
	e, err := p.out.AddBytes(form06.DescriptorPath(id), form06.KindDescriptor, d.Encode())
	p.inventory.Snapshots = append(p.inventory.Snapshots, id)
	p.list(e, id, &integrity.Sum{Algorithm: integrity.SHA256, Digest: id.String(), Size: e.Size})
	return err
}

func (p *packing) list(e archive.Entry, owner digest.Digest, sum *integrity.Sum) {
	p.inventory.Entries = append(p.inventory.Entries, form06.Entry{
		Path: e.Name, Owner: owner, Kind: e.Kind, Included: true, Encoded: e.Stored, Apparent: e.Size,
		Integrity: sum, Transport: e.Transport,
	})
}

// disk adds the disk of a snapshot, which is in f. tap, unless it is nil, gets its data.
func (p *packing) disk(d *form06.Descriptor, f *os.File, path string, tap func(int64, []byte) error) error {
	data, err := runs(f, d.File.Size)
	if err != nil {
		return err
	}
	id := d.ID()
	e, err := p.out.Add(archive.Content{
		Name: form06.PayloadPath(id, d.File.Name), Kind: form06.KindPayload,
		Size: d.File.Size, Runs: archive.Map(data, d.File.Size), From: f, Tap: tap,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	p.list(e, id, d.File.Integrity)
	return nil
}

// checkedDisk is disk for one that others may be writing to.
func (p *packing) checkedDisk(d *form06.Descriptor, u *upper) error {
	again := integrity.NewBuilder(p.ctx, u.size)
	defer again.Close()
	if err := p.disk(d, u.file, u.path, again.Add); err != nil {
		return err
	}
	root, err := again.Digest()
	if err == nil && root != d.File.Integrity.Digest {
		err = fmt.Errorf("%s: %w", u.path, ErrChanged)
	}
	return err
}

// directory adds a snapshot in a directory.
func (p *packing) directory(dir *Directory) error {
	d, err := form06.Decode(dir.descriptor)
	if err != nil {
		return dir.about(form06.DescriptorName, err)
	}
	if err := p.descriptor(d); err != nil {
		return err
	}
	if d.File == nil {
		return nil
	}
	disk := &dir.Disks[0]
	f, err := dir.openDisk(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := stateOf(f)
	if err == nil {
		err = p.disk(d, f, f.Name(), nil)
	}
	if err == nil {
		err = before.check(f)
	}
	if err != nil {
		return dir.about(disk.Name, err)
	}
	return nil
}

// PackDirectory writes the snapshot in a directory as an archive to w. It verifies the
// directory first, and the parents of o.
func PackDirectory(ctx context.Context, w io.Writer, dir *Directory, o ArchiveOptions) error {
	for _, d := range append(slices.Clone(o.Parents), dir) {
		if err := d.Verify(ctx, nil); err != nil {
			return err
		}
	}
	p := &packing{ctx: ctx, opts: o}
	return p.run(w, func() error { return p.directory(dir) }, dir.Digest)
}

// FindParents opens the chain of snapshots that begins with the identity id, in the
// directories beside each other in dir, oldest first. The caller closes them.
func FindParents(dir string, id digest.Digest) (chain []*Directory, err error) {
	byID, err := listDirectories(dir)
	if err != nil {
		return nil, err
	}
	for id != "" {
		path, ok := byID[id]
		if !ok {
			return chain, fault.Corrupt("%s: the parent %s is not there", dir, id)
		}
		d, err := OpenDirectory(path)
		if err != nil {
			return chain, err
		}
		chain = append([]*Directory{d}, chain...)
		id = digest.Digest(d.Parent)
	}
	return chain, nil
}

// listDirectories returns the snapshots in the directories below dir, by identity.
func listDirectories(dir string) (map[digest.Digest]string, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	byID := map[digest.Digest]string{}
	for _, name := range names {
		path := dir + "/" + name.Name()
		if !name.IsDir() || strings.HasPrefix(name.Name(), stagingPrefix) {
			continue
		}
		d, err := OpenDirectory(path)
		if err != nil {
			continue // not a snapshot, or a damaged one: it may not be needed
		}
		byID[d.Digest] = path
		d.Close()
	}
	return byID, nil
}
