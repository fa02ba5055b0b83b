package patch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ocipipe/lib/osfile"
	"ocipipe/lib/tree"
)

// hostPath is a path on the host. It is confined to root if that is not nil, or to the
// directory dir if that is not empty.
type hostPath struct {
	root *os.Root
	dir  string
	path string
}

func (a *applier) source(s Source) hostPath {
	switch {
	case a.opts.Root != nil:
		return hostPath{root: a.opts.Root, path: cmp.Or(strings.Trim(s.Path, "/"), ".")}
	case filepath.IsAbs(s.Path):
		return hostPath{path: s.Path}
	}
	return hostPath{path: filepath.Join(s.Dir, s.Path)}
}

func (p hostPath) String() string { return printable(p.name()) }

// name is the whole path.
func (p hostPath) name() string {
	if p.root != nil {
		return filepath.Join(p.root.Name(), p.path)
	}
	return filepath.Join(p.dir, p.path)
}

func (p hostPath) stat() (fs.FileInfo, error) {
	if p.root != nil {
		return p.root.Stat(p.path)
	}
	return os.Stat(p.path)
}

// open opens a file. The file may have been replaced by a pipe since it was checked, so
// open does not block.
func (p hostPath) open() (*os.File, error) {
	const flags = os.O_RDONLY | osfile.NonBlock
	switch {
	case p.root != nil:
		return p.root.OpenFile(p.path, flags, 0)
	case p.dir == "":
		return os.OpenFile(p.path, flags, 0)
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenFile(p.path, flags, 0)
}

// OpenRoot opens a directory for [Options].Root. It does not wait for the writer of a pipe
// that has the path.
func OpenRoot(path string) (*os.Root, error) { return hostPath{path: path}.openRoot() }

// openRoot opens a directory. The dot makes the kernel look for one before it opens
// anything, which could be a pipe and wait for its writer.
func (p hostPath) openRoot() (root *os.Root, err error) {
	const dot = "/."
	if p.root != nil {
		root, err = p.root.OpenRoot(p.path + dot)
	} else {
		root, err = os.OpenRoot(p.path + dot)
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		at.Path = strings.TrimSuffix(at.Path, dot)
	}
	return root, err
}

// openDir opens the directory rel in root, or nothing that has become something else.
func openDir(root *os.Root, rel string) (*os.File, error) {
	return root.OpenFile(rel, os.O_RDONLY|osfile.Directory, 0)
}

// below is the path rel in the directory p. It is confined to p.
func (p hostPath) below(rel string) hostPath {
	if p.root != nil {
		return hostPath{root: p.root, path: filepath.Join(p.path, rel)}
	}
	return hostPath{dir: p.path, path: rel}
}

// hostFile is the content of a file on the host.
type hostFile struct {
	from hostPath
	size int64
	time time.Time
}

const copyBuf = 256 << 10

// open opens the file. It returns an error if the file has changed since the operation was
// applied.
func (h *hostFile) open() (*os.File, error) {
	f, err := h.from.open()
	if err != nil {
		return nil, err
	}
	if err := h.check(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (h *hostFile) check(f *os.File) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s has changed meanwhile: it is no longer a regular file", h.from)
	case info.Size() != h.size:
		return fmt.Errorf("%s has changed meanwhile: from %d bytes to %d", h.from, h.size, info.Size())
	case !info.ModTime().Equal(h.time):
		return fmt.Errorf("%s has changed meanwhile: it was written to", h.from)
	}
	return nil
}

// ReadAt reads the file. It opens and closes the file each time.
func (h *hostFile) ReadAt(p []byte, off int64) (int, error) {
	f, err := h.open()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(p, off)
}

// WriteTo writes the whole file.
func (h *hostFile) WriteTo(w io.Writer) (int64, error) {
	f, err := h.open()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(f, h.size), make([]byte, min(h.size, copyBuf)))
	if err == nil && n < h.size {
		err = fmt.Errorf("%s has changed meanwhile: from %d bytes to %d", h.from, h.size, n)
	}
	return n, err
}

// copied returns an inode for the file at from, which has this info. It does not set the
// target of a link and the extended attributes.
func (a *applier) copied(info fs.FileInfo, from hostPath) (*tree.Entry, error) {
	attr := osfile.AttrOf(info)
	e := &tree.Entry{Time: a.opts.time(), Mode: attr.Mode}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		e.Type, e.Size = tree.File, info.Size()
		if e.Size > 0 {
			e.Content = &hostFile{from: from, size: e.Size, time: info.ModTime()}
		}
	case mode.IsDir():
		e.Type = tree.Dir
	case mode.Type() == fs.ModeSymlink:
		e.Type, e.Mode = tree.Link, 0o777
	default:
		return nil, fmt.Errorf("source %s: is not a regular file, directory or symbolic link", from)
	}
	if e.Type != tree.Link {
		if err := a.opts.reads(from); err != nil {
			return nil, fmt.Errorf("source: %w", err)
		}
	}
	if a.opts.Preserve {
		e.UID, e.GID = attr.UID, attr.GID
		e.Time = tree.TimeOf(info.ModTime())
	}
	return e, nil
}

func (o CopyFile) apply(a *applier) error {
	from := a.source(o.Src)
	info, err := from.stat()
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("source %s: is not a regular file", from)
	}
	e, err := a.copied(info, from)
	if err != nil {
		return err
	}
	if a.opts.Preserve {
		f, err := from.open()
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		defer f.Close()
		if e.Xattrs, err = fileXattrs(f); err != nil {
			return fmt.Errorf("source %s: %w", from, err)
		}
	}
	return a.put(o.Dst, o.Replace, e, o.Attr)
}
