package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"ocipipe/lib/osfile"
	"ocipipe/lib/snapshot/form"
)

// stagingPrefix begins the names of directories in which snapshots are made.
const stagingPrefix = ".ocipipe-tmp-"

// staging is a directory beside the snapshots to be, in which they are made. A process
// that is killed leaves it; the next one that stages in the same place removes it, which a
// lock shows to be nobody's.
type staging struct {
	parent *os.Root
	root   workRoot
	name   string
	output string // what is made, as the user named it
	lock   *os.File
	files  map[string]string // in root, by member
	before func() error      // what comes before the first directory gets to its place; nil for nothing
}

// newStaging makes a staging directory in parent, which stays the caller's. output is what will
// be made, as errors name it.
func newStaging(parent *os.Root, output string) (*staging, error) {
	removeStale(parent)
	for range 1000 {
		s := &staging{parent: parent, name: fmt.Sprintf("%s%08x", stagingPrefix, rand.Uint32()), output: output, files: map[string]string{}}
		switch err := parent.Mkdir(s.name, 0o700); {
		case errors.Is(err, fs.ErrExist):
			continue
		case err != nil:
			return nil, workRoot{output: output}.about(err)
		}
		err := s.enter()
		if err == nil {
			return s, nil
		}
		if err = errors.Join(err, s.remove()); !errors.Is(err, errRemoved) {
			return nil, workRoot{output: output}.about(err)
		}
	}
	return nil, fs.ErrExist
}

// errRemoved says that another process took a new directory for a stale one, because it
// was not locked yet.
var errRemoved = errors.New("removed by another process")

// enter opens and locks the directory.
func (s *staging) enter() error {
	err := s.openAndLock()
	if err == nil {
		err = s.stillThere()
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, osfile.ErrLocked) {
		return errRemoved
	}
	return err
}

// stillThere returns fs.ErrNotExist if what is locked is not in the parent any more.
func (s *staging) stillThere() error {
	is, err := s.lock.Stat()
	if err != nil {
		return err
	}
	named, err := s.parent.Lstat(s.name)
	if err == nil && !os.SameFile(is, named) {
		err = fs.ErrNotExist
	}
	return err
}

func (s *staging) openAndLock() (err error) {
	root, err := s.parent.OpenRoot(s.name)
	if err != nil {
		return err
	}
	s.root = workRoot{root, s.output}
	if s.lock, err = s.root.Open("."); err != nil {
		return err
	}
	return flock(s.lock)
}

// flock locks f, unless its file system has no locks. It does not wait.
func flock(f *os.File) error {
	err := osfile.Lock(f, osfile.Exclusive)
	if osfile.HasNoLocks(err) {
		return nil
	}
	return err
}

// removeStale removes what killed processes have left in parent.
func removeStale(parent *os.Root) {
	dir, err := parent.Open(".")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if !strings.HasPrefix(name, stagingPrefix) {
			continue
		}
		// Opening a FIFO would wait.
		if d, err := parent.OpenFile(name, os.O_RDONLY|osfile.Directory|osfile.NonBlock, 0); err == nil {
			if osfile.Lock(d, osfile.Exclusive) == nil {
				parent.RemoveAll(name)
			}
			d.Close()
		}
	}
}

// create implements store.
func (s *staging) create(member string, size int64) (storeFile, error) {
	name := strconv.Itoa(len(s.files))
	f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	s.files[member] = name
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open implements store.
func (s *staging) open(member string) (*os.File, error) { return s.root.Open(s.files[member]) }

// place makes the directory dir with the files, of which put makes each at its place.
// Everything is on disk when place returns.
func (s *staging) place(dir string, files []form.File, put func(at string, f form.File) error) error {
	if err := s.root.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		at := path.Join(dir, f.Name)
		if err := s.root.MkdirAll(path.Dir(at), 0o755); err != nil {
			return err
		}
		if err := put(at, f); err != nil {
			return err
		}
		for at != "." {
			if err := syncIn(s.root, at); err != nil {
				return err
			}
			at = path.Dir(at)
		}
	}
	return nil
}

// opener is a root, or a workRoot.
type opener interface {
	Open(name string) (*os.File, error)
}

func syncIn(root opener, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return osfile.Sync(f)
}

// publishAll moves the directories, which are complete, to their places in a directory of
// the parent.
func (s *staging) publishAll(ctx context.Context, in string, names ...string) error {
	if s.before != nil {
		if err := s.before(); err != nil {
			return err
		}
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.publish(in, name); err != nil {
			return err
		}
	}
	return nil
}

// publish moves the directory name to its place in the directory in of the parent, where
// nothing of that name may be: the error is fs.ErrExist then.
func (s *staging) publish(in, name string) error {
	at := filepath.Join(s.parent.Name(), in, name)
	to, err := s.parent.Open(in)
	if err != nil {
		return s.beside(err)
	}
	defer to.Close()
	err = renameNew(s.lock, to, name)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) { // a file system that cannot promise it
		if _, err := s.parent.Lstat(path.Join(in, name)); err == nil {
			return &fs.PathError{Op: "rename", Path: at, Err: fs.ErrExist}
		}
		err = s.parent.Rename(path.Join(s.name, name), path.Join(in, name))
	}
	if err != nil {
		if _, _, cause := aboutFile(err); cause != nil {
			err = cause
		}
		return &fs.PathError{Op: "rename", Path: at, Err: err}
	}
	return osfile.Sync(to)
}

// remove removes the staging directory with all that is left in it.
func (s *staging) remove() error {
	if s.root.Root != nil {
		s.root.Close()
	}
	err := s.parent.RemoveAll(s.name)
	if s.lock != nil {
		s.lock.Close()
	}
	return err
}
