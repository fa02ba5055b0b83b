package cas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"ocipipe/lib/osfile"
)

// A Sweep is the right to remove files. While it lasts no Use begins, in any process; what
// was in use when it began stays.
type Sweep struct {
	s    *Store
	root *os.Root
	gate *held
	used map[string]bool
}

// ErrInUse is in the error of Remove for a file that a process works with.
var ErrInUse = errors.New("in use")

// Sweep waits for the end of another Sweep, and begins one. Processes that begin a Use wait
// for its End, so it should be short. The error is ErrStore if nothing can be removed here,
// or if it cannot be known what is in use.
func (s *Store) Sweep(ctx context.Context) (*Sweep, error) {
	gate, err := s.lock(ctx, gateLock)
	if err != nil {
		return nil, err
	}
	w := &Sweep{s: s, gate: gate, used: map[string]bool{}}
	if w.root, err = os.OpenRoot(s.dir); err == nil {
		err = w.readUses()
	}
	if err != nil {
		w.End()
		return nil, storeError(err)
	}
	return w, nil
}

// End ends the sweep.
func (w *Sweep) End() {
	if w.root != nil {
		w.root.Close()
	}
	w.gate.release(false) // the file stays: others may have it open to share the lock
}

// readUses notes what the uses name, and removes those of dead processes.
func (w *Sweep) readUses() error {
	ents, err := os.ReadDir(w.s.path("locks"))
	if err != nil {
		return err
	}
	for _, e := range ents {
		if !strings.HasPrefix(e.Name(), usePrefix) {
			continue
		}
		l, err := w.s.tryLock(e.Name())
		if err == nil {
			l.release(true)
			continue
		}
		if errors.Is(err, errBusy) {
			err = w.readUse("locks/" + e.Name())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have ended meanwhile
			return fmt.Errorf("%s: %w", w.s.path("locks/"+e.Name()), err)
		}
	}
	return nil
}

func (w *Sweep) readUse(name string) error {
	data, err := w.s.read(name, maxUse)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		w.used[strings.TrimSuffix(line, "\n")] = true
	}
	return nil
}

// InUse reports whether a process works with the blob or artifact called name.
func (w *Sweep) InUse(name string) bool { return w.used[name] }

// Remove removes the blob or artifact called name, if it exists. Where that is in use, the
// error is ErrInUse.
func (w *Sweep) Remove(name string) error {
	if err := checkNames([]string{name}); err != nil {
		return err
	}
	if w.InUse(name) {
		return fmt.Errorf("%s: %w", w.s.path(name), ErrInUse)
	}
	err := osfile.RemoveIn(w.root, name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		pe.Path = w.s.path(name)
	}
	return storeError(err)
}
