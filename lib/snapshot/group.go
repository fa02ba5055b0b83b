package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"ocipipe/lib/blockio"
	"ocipipe/lib/osfile"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form07"
)

// groupLock is the file of a group that is locked while its snapshots change. msb locks it
// too, with flock.
const groupLock = ".group.lock"

// enterGroup makes d, which is at a group, the directory of its head.
func (d *Directory) enterGroup() error {
	head, err := readHead(d.root)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return d.about(form07.GroupName, err)
	}
	d.head = head
	root, err := d.root.OpenRoot(head)
	if err != nil {
		return err
	}
	d.root.Close()
	d.root, d.Path = root, filepath.Join(d.Path, head)
	return nil
}

// readHead returns the head of the group in root.
func readHead(root *os.Root) (string, error) {
	data, err := readSmall(root, form07.GroupName)
	if err != nil {
		return "", err
	}
	return form07.DecodeGroup(data)
}

// readMember reads what a snapshot of form 0.7 has beside its descriptor.
func (d *Directory) readMember() error {
	data, err := readSmall(d.root, form07.LabelsName)
	if err == nil {
		d.Labels, err = form07.DecodeLabels(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.about(form07.LabelsName, err)
	}
	data, err = readSmall(d.root, form07.MemberName)
	if err == nil {
		d.Name, err = form07.DecodeMember(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.about(form07.MemberName, err)
	}
	return nil
}

// refuse refuses d if its disk is not one raw file, or if it requires something.
func (d *Directory) refuse() error {
	err := acceptable(&d.Info)
	var q *Qcow2Error
	switch {
	case errors.As(err, &q):
		q.Path = d.Path
	case err != nil:
		err = d.about(form07.DescriptorName, err)
	}
	return err
}

// unpackGroup puts the snapshots of c, which have form 0.7, into a group in dir, which is
// new or there already.
func (s *staging) unpackGroup(ctx context.Context, dir, name string, c *form.Contents, warn func(string, ...any)) error {
	if name == "" {
		digits := strings.TrimPrefix(c.Head, "snap_")
		name = "msb-" + digits[:8]
	}
	if err := form07.CheckName(name); err != nil {
		return err
	}
	for _, snap := range c.Snapshots {
		snap.Dir = path.Join(name, snap.ID)
	}
	return s.install(ctx, filepath.Join(dir, name), c.Head, c.Snapshots, warn)
}

// install puts the snapshots into the group at, which is in the parent, new or there
// already. The head becomes that of the group, unless that has one from which it does not
// descend.
func (s *staging) install(ctx context.Context, at, head string, snaps []*form.Snapshot, warn func(string, ...any)) error {
	g := &group{staging: s, at: at, name: filepath.Base(at), head: head, left: map[string]int{}}
	for _, snap := range snaps {
		for _, f := range snap.Files {
			g.left[f.Member]++
		}
	}
	add := g.add
	if _, err := s.parent.Lstat(g.name); errors.Is(err, fs.ErrNotExist) {
		add = g.create
	}
	if err := add(ctx, snaps); err != nil {
		return err
	}
	if g.stays != "" {
		warn("%s: its head stays %s, of which %s does not descend", at, g.stays, head)
	}
	return nil
}

// group is a group of snapshots that is made or extended.
type group struct {
	*staging
	at    string         // its path
	name  string         // in the parent
	head  string         // to be
	left  map[string]int // how many files still take the content of a member
	stays string         // the head that the group keeps, if it is another one
}

// create makes the group with the snapshots in it.
func (g *group) create(ctx context.Context, snaps []*form.Snapshot) error {
	files := []form.File{{Name: form07.GroupName, Data: form07.EncodeGroup(g.head)}, {Name: groupLock}}
	for _, snap := range snaps {
		for _, f := range snap.Files {
			f.Name = path.Join(snap.ID, f.Name)
			files = append(files, f)
		}
	}
	if err := g.place(g.name, files, func(at string, f form.File) error { return g.put(ctx, at, f) }); err != nil {
		return err
	}
	return g.publishAll(ctx, ".", g.name)
}

// put makes the file at in the staging directory.
func (g *group) put(ctx context.Context, at string, f form.File) error {
	if f.Member == "" {
		mode := os.FileMode(0o644)
		if base := path.Base(at); base != form07.DescriptorName && base != form07.LabelsName {
			mode = 0o600
		}
		return g.root.WriteFile(at, f.Data, mode)
	}
	if g.left[f.Member]--; g.left[f.Member] == 0 {
		return g.root.Rename(g.files[f.Member], at)
	}
	return g.copy(ctx, at, f.Member)
}

// copy copies the content of a member that another snapshot needs too.
func (g *group) copy(ctx context.Context, at, member string) error {
	from, err := g.open(member)
	if err != nil {
		return err
	}
	defer from.Close()
	fi, err := from.Stat()
	if err != nil {
		return err
	}
	to, err := g.root.OpenFile(at, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = to.Truncate(fi.Size())
	if err == nil {
		err = blockio.CopySparse(ctx, to, 0, from, fi.Size())
	}
	return errors.Join(err, to.Close())
}

// add adds the snapshots to the group, which is there.
func (g *group) add(ctx context.Context, snaps []*form.Snapshot) error {
	at := g.at
	root, err := g.parent.OpenRoot(g.name)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", at, ErrExists, err)
	}
	defer root.Close()
	if _, err := readHead(root); err != nil {
		return fmt.Errorf("%s: %w, not a group of snapshots: %w", at, ErrExists, err)
	}
	lock, err := lockGroup(ctx, root)
	if err != nil {
		return in(at, err)
	}
	defer lock.Close()
	old, err := readHead(root) // nobody else changes it from here on
	if err != nil {
		return in(at, err)
	}
	taken, err := memberNames(root)
	if err != nil {
		return in(at, err)
	}
	var missing []*form.Snapshot
	for _, snap := range snaps {
		there, err := g.isThere(ctx, root, at, snap.ID, snap)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if id := taken[nameInGroup(snap)]; id != "" {
			return fmt.Errorf("%s: %w: the snapshot %s has the name %s", at, ErrExists, id, nameInGroup(snap))
		}
		missing = append(missing, snap)
	}
	return g.addMissing(ctx, root, old, missing)
}

// nameInGroup returns the name that the snapshot gets in its group, "" for none.
func nameInGroup(snap *form.Snapshot) string {
	for _, f := range snap.Files {
		if f.Name == form07.MemberName {
			if name, err := form07.DecodeMember(f.Data); err == nil {
				return name
			}
		}
	}
	return ""
}

func (g *group) addMissing(ctx context.Context, root *os.Root, old string, missing []*form.Snapshot) error {
	var ids []string
	for _, snap := range missing {
		ids = append(ids, snap.ID)
		if err := g.place(snap.ID, snap.Files, func(at string, f form.File) error { return g.put(ctx, at, f) }); err != nil {
			return err
		}
	}
	if err := g.publishAll(ctx, g.name, ids...); err != nil {
		return err
	}
	return g.moveHead(root, old)
}

// How long to wait for a lock, before each try: waiting in the kernel could not be stopped.
const (
	firstWait = time.Millisecond
	lastWait  = 50 * time.Millisecond
)

// lockGroup locks the group in root, and waits for others that have. The caller closes the
// lock.
func lockGroup(ctx context.Context, root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(groupLock, os.O_RDWR|os.O_CREATE|osfile.NoFollow, 0o600)
	if err != nil {
		return nil, err
	}
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		switch err := flock(f); {
		case err == nil:
			return f, nil
		case !errors.Is(err, osfile.ErrLocked):
			f.Close()
			return nil, &fs.PathError{Op: "lock", Path: groupLock, Err: err}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
}

// memberNames returns the snapshots in the group by their names in it.
func memberNames(root *os.Root) (map[string]string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	ids, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, id := range ids {
		if !strings.HasPrefix(id, "snap_") {
			continue
		}
		member, err := root.OpenRoot(id)
		if err != nil {
			return nil, err
		}
		data, err := readSmall(member, form07.MemberName)
		member.Close()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var name string
		if err == nil {
			name, err = form07.DecodeMember(data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Join(id, form07.MemberName), err)
		}
		names[name] = id
	}
	return names, nil
}

// moveHead makes the new head that of the group if it descends from the old one.
func (g *group) moveHead(root *os.Root, old string) error {
	if old == g.head {
		return nil
	}
	ancestor := g.head
	for seen := map[string]bool{}; ancestor != old; {
		seen[ancestor] = true
		data, err := readSmall(root, path.Join(ancestor, form07.DescriptorName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return in(g.at, err)
		}
		var d *form07.Descriptor
		if err == nil {
			if d, err = form07.Decode(data); err != nil {
				return fmt.Errorf("%s: %w", path.Join(ancestor, form07.DescriptorName), err)
			}
		}
		if d == nil || d.Parent == "" || seen[d.Parent] {
			g.stays = old
			return nil
		}
		ancestor = d.Parent
	}
	return g.writeHead()
}

// writeHead replaces the file with the head of the group.
func (g *group) writeHead() error {
	if err := g.root.WriteFile(form07.GroupName, form07.EncodeGroup(g.head), 0o600); err != nil {
		return err
	}
	if err := syncIn(g.root, form07.GroupName); err != nil {
		return err
	}
	if err := g.parent.Rename(path.Join(g.staging.name, form07.GroupName), path.Join(g.name, form07.GroupName)); err != nil {
		return g.beside(err)
	}
	return g.beside(syncIn(g.parent, g.name))
}
