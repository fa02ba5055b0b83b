package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ocipipe/lib/osfile"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/form07"
	"ocipipe/lib/snapshot/integrity"
)

// Directory is a snapshot in a directory.
type Directory struct {
	form.Info
	Path       string
	Name       string // that it has in its group, in form 0.7; "" for none
	head       string // of the group that it was opened by; "" for none
	descriptor []byte // canonical
	root       *os.Root
	verified   map[string]osfile.State // disks that Verify has found right, by name
}

// ErrNotDirectory says that a file, perhaps an archive, is where the directory of a snapshot
// should be.
var ErrNotDirectory = errors.New("is a file, not the directory of a snapshot")

// OpenDirectory opens the snapshot in the directory at path and checks its descriptor, and
// that its disks are there in the right size. Verify checks their content. A group of form
// 0.7 stands for its head, and Path is the directory of that then. The caller closes it.
func OpenDirectory(path string) (*Directory, error) {
	path = filepath.Clean(path)
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s: %w", path, ErrNotDirectory)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &Directory{Path: path, root: root}
	if err := d.read(); err != nil {
		root.Close()
		return nil, err
	}
	return d, nil
}

func (d *Directory) read() error {
	data, err := readSmall(d.root, form06.DescriptorName)
	if errors.Is(err, fs.ErrNotExist) {
		if err = d.enterGroup(); err == nil {
			data, err = readSmall(d.root, form06.DescriptorName)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.Corrupt("%s: not a snapshot: it has no %s", d.Path, form06.DescriptorName)
	case err != nil:
		return d.about(form06.DescriptorName, err)
	}
	if err := d.decode(data); err != nil {
		return d.about(form06.DescriptorName, err)
	}
	if d.head != "" && d.ID != d.head {
		return d.about(form06.DescriptorName, fault.Corrupt("has the identity %s, not that of its directory", d.ID))
	}
	if d.Form == form07.Form {
		if err := d.readMember(); err != nil {
			return err
		}
	}
	for i := range d.Disks {
		f, err := d.openDisk(&d.Disks[i])
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

func (d *Directory) decode(data []byte) error {
	if form07.IsDescriptor(data) {
		desc, err := form07.Decode(data)
		if err != nil {
			return err
		}
		d.Info, d.descriptor = desc.Info(nil), desc.Encode()
		return nil
	}
	desc, err := form06.Decode(data)
	if err != nil {
		return err
	}
	d.Info, d.descriptor = desc.Info(), desc.Encode()
	return nil
}

// about adds the path of a file of d to an error.
func (d *Directory) about(name string, err error) error {
	path := filepath.Join(d.Path, name)
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return &fs.PathError{Op: pe.Op, Path: path, Err: pe.Err}
	}
	return fmt.Errorf("%s: %w", path, err)
}

// openRegular opens a regular file in root. It does not follow a link.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	named, err := root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|osfile.NonBlock, 0)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && (!fi.Mode().IsRegular() || !os.SameFile(named, fi)) {
		err = fault.Corrupt("is not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

// readSmall reads a file that is no larger than a descriptor may be.
func readSmall(root *os.Root, name string) ([]byte, error) {
	f, _, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, form.MaxMeta+1))
	if err == nil && len(data) > form.MaxMeta {
		err = fault.Unsupported("longer than %d bytes", form.MaxMeta)
	}
	return data, err
}

// openDisk opens a disk of d: a regular file of the right size, not a link.
func (d *Directory) openDisk(disk *form.Disk) (*os.File, error) {
	f, fi, err := openRegular(d.root, filepath.FromSlash(disk.Name))
	if err != nil {
		return nil, d.about(disk.Name, err)
	}
	if fi.Size() != disk.Size && disk.Size != form.UnknownSize {
		f.Close()
		return nil, d.about(disk.Name, fault.Corrupt("has %d bytes, the descriptor says %d", fi.Size(), disk.Size))
	}
	return f, nil
}

// Verify checks that the disks have the integrity of the descriptor. warn is told what
// cannot be checked: a disk for which the descriptor has none, or the state of a
// checkpoint. A disk in qcow2 is refused, see [Qcow2Error], and a snapshot that requires
// something.
func (d *Directory) Verify(ctx context.Context, warn func(msg string)) error {
	if err := d.refuse(); err != nil {
		return err
	}
	if warn == nil {
		warn = func(string) {}
	}
	if len(d.Disks) == 0 {
		warn(d.Path + ": " + noDisk)
	}
	for i := range d.Disks {
		disk := &d.Disks[i]
		if err := d.verify(ctx, disk); err != nil {
			return err
		}
		if disk.Integrity == nil {
			warn(filepath.Join(d.Path, disk.Name) + ": its descriptor has no integrity: only the size was checked")
		}
	}
	return nil
}

// noDisk is what is said of a snapshot without a disk.
const noDisk = "its state is a checkpoint, which is kept elsewhere: only the descriptor was checked"

func (d *Directory) verify(ctx context.Context, disk *form.Disk) error {
	f, err := d.openDisk(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 4)
	if n, _ := f.ReadAt(head, 0); isQcow2(head[:n]) { // errors come again below
		return &Qcow2Error{Path: filepath.Join(d.Path, disk.Name)}
	}
	before, err := osfile.StateOf(f)
	have := ""
	if err == nil && disk.Integrity != nil {
		have, err = integrity.Compute(ctx, integrity.File(f, disk.Size), disk.Size, disk.Integrity.Algorithm)
	}
	if err == nil {
		err = checkUnchanged(f, before)
	}
	if err == nil && disk.Integrity != nil {
		err = compare(have, disk.Integrity)
	}
	if err != nil {
		return d.about(disk.Name, err)
	}
	if d.verified == nil {
		d.verified = map[string]osfile.State{}
	}
	d.verified[disk.Name] = before
	return nil
}

// Paths returns the paths of the files of d, and of the one that says that it is the head of
// its group, if it was opened as that.
func (d *Directory) Paths() []string {
	paths := []string{filepath.Join(d.Path, form06.DescriptorName)}
	if d.head != "" {
		paths = append(paths, filepath.Join(filepath.Dir(d.Path), form07.GroupName))
	}
	if d.Form == form07.Form {
		paths = append(paths, filepath.Join(d.Path, form07.LabelsName), filepath.Join(d.Path, form07.MemberName))
	}
	for i := range d.Disks {
		paths = append(paths, filepath.Join(d.Path, filepath.FromSlash(d.Disks[i].Name)))
	}
	return paths
}

// Close closes the directory.
func (d *Directory) Close() error { return d.root.Close() }
