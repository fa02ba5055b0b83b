package cas

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"ocipipe/lib/layout"
	"ocipipe/lib/osfile"
)

// A File is a blob or an artifact.
type File struct {
	Name    string // with slashes, relative to the cache
	Size    int64  // bytes that it takes on the disk, at most its length
	ModTime time.Time
}

// Files returns the blobs and the artifacts, and the names of everything else that is not
// of the cache: files of other names, and what is neither a file nor a directory. It follows
// no symbolic links, and takes no lock: files may come and go meanwhile.
func (s *Store) Files(ctx context.Context) (files []File, foreign []string, err error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	w := walk{ctx: ctx, root: root}
	err = w.dir(".")
	return w.files, w.foreign, err
}

// OpenFile opens the blob or artifact called name, whatever is known of its content. The
// error is fs.ErrNotExist if there is no regular file of that name.
func (s *Store) OpenFile(name string) (*os.File, error) {
	if err := checkNames([]string{name}); err != nil {
		return nil, err
	}
	f, err := osfile.Open(s.path(name), os.O_RDONLY|osfile.NonBlock|osfile.NoFollow, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: s.path(name), Err: fs.ErrNotExist}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// walk collects the files of a cache.
type walk struct {
	ctx     context.Context
	root    *os.Root
	files   []File
	foreign []string
}

func (w *walk) dir(name string) error {
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	d, err := w.root.OpenFile(name, os.O_RDONLY|osfile.Directory|osfile.NoFollow|osfile.NonBlock, 0)
	if err != nil {
		return ignoreMissing(err)
	}
	defer d.Close()
	for {
		ents, err := d.ReadDir(1000)
		for _, e := range ents {
			if err := w.entry(name, e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (w *walk) entry(dir string, e fs.DirEntry) error {
	name := strings.TrimPrefix(dir+"/"+e.Name(), "./")
	if e.IsDir() && isOurDir(name) {
		return w.dir(name)
	}
	isKept := checkNames([]string{name}) == nil // a blob or an artifact
	if !e.Type().IsRegular() || !isKept && !isOurFile(name) {
		if name != "lost+found" { // of a file system
			w.foreign = append(w.foreign, name)
		}
		return nil
	}
	if !isKept {
		return nil
	}
	info, err := e.Info()
	if err != nil {
		return ignoreMissing(err)
	}
	w.files = append(w.files, File{name, min(info.Size(), osfile.Allocated(info)), info.ModTime()})
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// isOurDir reports whether the cache has directories of that name.
func isOurDir(name string) bool {
	top, rest, _ := strings.Cut(name, "/")
	parts := strings.Split(rest, "/")
	isAlgorithm := func(name string) bool { return name == "sha256" || name == "sha512" }
	switch {
	case top == "tmp" || top == "locks":
		return rest == ""
	case top == layout.Blobs:
		return rest == "" || isAlgorithm(rest)
	case !slices.Contains(ArtifactKinds, top):
		return false
	}
	return rest == "" || isABI(parts[0]) && (len(parts) == 1 || len(parts) == 2 && isAlgorithm(parts[1]))
}

// isOurFile reports whether the cache has files of that name, beside blobs and artifacts.
func isOurFile(name string) bool {
	dir, base, _ := strings.Cut(name, "/")
	_, isPart := digestOf(base)
	_, isArtifact := artifactOf(base)
	indexes := []string{layout.File, layout.Index, DroppedIndex}
	switch dir {
	case "tmp":
		return isPart || isArtifact || slices.Contains(indexes, base)
	case "locks":
		return isPart || isArtifact || base == layout.Index || base == gateLock || strings.HasPrefix(base, usePrefix)
	}
	return slices.Contains(indexes, name) || isAside(name)
}

// isAside reports whether putAside gives files that name.
func isAside(name string) bool {
	return strings.HasPrefix(name, layout.Index+aside) || strings.HasPrefix(name, DroppedIndex+aside)
}
