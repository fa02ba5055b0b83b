package vmdk

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"ocipipe/lib/osfile"
)

// splitSectors is how large VMware makes the pieces of a split disk: 2047 MiB.
const splitSectors = 4192256

// FlatOptions are for [Disk.Descriptor].
type FlatOptions struct {
	Dir      string // the descriptor's directory, to which names are relative; "" is the working directory
	Absolute bool   // names are absolute
	Split    bool   // no line has more than 2 GiB
	Force    bool   // allow names, and numbers of lines, that some readers refuse
}

// Descriptor returns a descriptor that names the extents of the disk, each in one line
// without an offset, which imago up to 0.2.3 gets wrong. With o.Split an extent
// takes as many lines as it has pieces.
func (d *Disk) Descriptor(o FlatOptions) (*Descriptor, error) {
	desc := &Descriptor{CID: d.CID(), CreateType: createSplit}
	real := realDirs{}
	for _, e := range d.extents {
		name, err := e.name(o, real)
		if err != nil {
			return nil, err
		}
		desc.Lines = append(desc.Lines, e.lines(name, o.Split)...)
	}
	if len(desc.Lines) == 1 {
		desc.CreateType = createFlat
	}
	if n := len(desc.Lines); n > maxLines && !o.Force {
		return nil, &ForceableError{fmt.Errorf("%w: %d extents: VirtualBox reads %d", ErrUnsupported, n, maxLines)}
	}
	return desc, nil
}

func (e *extent) lines(name string, split bool) (lines []Line) {
	sectors := e.size / SectorSize
	piece := sectors
	if split {
		piece = splitSectors
	}
	for off := int64(0); off < sectors; off += piece {
		lines = append(lines, Line{min(piece, sectors-off), typeFlat, name, off})
	}
	return lines
}

// name is the extent's name in a descriptor in o.Dir.
func (e *extent) name(o FlatOptions, real realDirs) (string, error) {
	path, err := real.path(e.path)
	if err != nil {
		return "", err
	}
	if !o.Absolute {
		dir, err := filepath.Abs(o.Dir)
		if err == nil {
			if dir, err = real.dir(dir); err != nil {
				return "", fmt.Errorf("directory %s: %w", o.Dir, causeOf(err))
			}
		}
		if err == nil {
			path, err = filepath.Rel(dir, path)
		}
		if err != nil {
			return "", err
		}
	}
	path = filepath.ToSlash(path)
	if err := checkName(path); err != nil {
		return "", err
	}
	if r, found := stumblingBlock(path, osfile.Volume(path)); found && !o.Force {
		return "", &ForceableError{fmt.Errorf("%w: %q: not every reader takes %q in a name", ErrUnsupported, path, r)}
	}
	return path, nil
}

// causeOf is err without the operation and path that package os puts before the cause.
func causeOf(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// realDirs are directories without symbolic links, by their absolute paths. The extents of a
// disk lie in a few.
type realDirs map[string]string

func (d realDirs) dir(path string) (string, error) {
	if real, ok := d[path]; ok {
		return real, nil
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		d[path] = real
	}
	return real, err
}

// path is path made absolute, with all symbolic links but the last name resolved, so that
// ".." in a path relative to it means the same to the kernel.
func (d realDirs) path(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	dir, err := d.dir(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// stumblingBlock returns the first character of path, if there is one, that is not portable. The
// first bytes, drive in number, name a drive of Windows, which QEMU takes there.
func stumblingBlock(path string, drive int) (r rune, found bool) {
	i := strings.IndexFunc(path[drive:], notPortable)
	if i < 0 {
		return 0, false
	}
	r, _ = utf8.DecodeRuneInString(path[drive+i:])
	return r, true
}

// notPortable reports whether some reader may stumble over r: a space ends a name for
// cloud-hypervisor, QEMU takes text before a colon for a protocol, the rest is caution.
func notPortable(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/", r))
}

// ForceableError wraps an error about a disk that some readers take nevertheless, so that
// the user may insist on it.
type ForceableError struct{ Err error }

func (f *ForceableError) Error() string { return f.Err.Error() }

// Unwrap returns Err.
func (f *ForceableError) Unwrap() error { return f.Err }
