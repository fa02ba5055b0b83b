package materialize

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/ext4"
	"ocipipe/lib/tree"
)

// UpperError is an error about the upper disk.
type UpperError struct {
	Path string // of the disk
	Err  error
}

func (e *UpperError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *UpperError) Unwrap() error { return e.Err }

// buildUpper writes a new upper disk, whose root has the attributes of the root of the image.
// It takes its place when all else has succeeded; see commitUpper.
func (m *materializer) buildUpper(ctx context.Context) (err error) {
	done := m.opts.staged(StageUpper)
	defer func() { done(err) }()
	start, u := time.Now(), m.opts.Upper
	path, err := m.upperPath()
	if err != nil {
		return err
	}
	out, err := atomicfile.Create(u.Path)
	if err != nil {
		return err
	}
	m.upper = out
	w, err := ext4.NewWriter(ctx, out, ext4.Options{
		Upper: true, Size: u.Size, Below: m.below, Mtime: m.opts.Flat.Mtime, Clamp: m.opts.Flat.Clamp, Epoch: m.opts.Flat.Epoch, Warn: m.opts.Warn,
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return &UpperError{u.Path, err}
	}
	m.result.Upper = &Disk{Path: path, Size: u.Size, DiskSize: u.Size, Made: Made{Built: true, Seconds: seconds(start)}}
	return nil
}

// upperPath returns the absolute path of the disk. It refuses one in the cache, where the disk
// could take the place of something else, and devices, whose content would show through the
// holes of the disk.
func (m *materializer) upperPath() (string, error) {
	path, err := filepath.Abs(m.opts.Upper.Path)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return "", &UpperError{m.opts.Upper.Path, errors.New("not a regular file")}
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path, nil // making the file gives the better error
	}
	cache, err := filepath.EvalSymlinks(m.dir)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(cache, dir); err == nil && filepath.IsLocal(rel) {
		return "", &UpperError{m.opts.Upper.Path, errors.New("lies in the cache")}
	}
	return path, nil
}

func (m *materializer) commitUpper() error {
	if m.upper == nil {
		return nil
	}
	return m.upper.Commit()
}

// below looks up the root of the image: it has the attributes that the uppermost layer with
// an entry for it says. An empty disk needs no other path.
func (m *materializer) below(path string) (*tree.Entry, error) {
	if path != "." {
		return nil, fs.ErrNotExist
	}
	for i := len(m.img.Layers) - 1; i >= 0; i-- {
		e, err := m.ofLayer(i).file.img.Lookup(".")
		if err != nil {
			return nil, &LayerError{i, err}
		}
		if !e.NoChange {
			return e, nil
		}
	}
	return nil, fs.ErrNotExist
}
