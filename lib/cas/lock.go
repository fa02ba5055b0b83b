package cas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ocipipe/lib/osfile"
)

// held is a lock that this process holds.
type held struct {
	f    *os.File
	path string
}

// errBusy is returned by tryLock if another process or goroutine holds the lock.
var errBusy = errors.New("locked by somebody else")

// lock tries again for a lock that is held, after a pause that doubles from firstWait to
// lastWait: waiting in the kernel could not be cancelled.
const (
	firstWait = time.Millisecond
	lastWait  = 50 * time.Millisecond
)

// lock waits until it holds the lock called name. Two callers in one process exclude each
// other, as two processes do.
func (s *Store) lock(ctx context.Context, name string) (*held, error) {
	return s.lockAs(ctx, name, osfile.Exclusive)
}

// lockAs is lock, for the kind Exclusive. If it is Shared, others may hold the lock in the same
// way; then its file must never be removed.
func (s *Store) lockAs(ctx context.Context, name string, kind osfile.LockKind) (*held, error) {
	waited := time.Duration(0)
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		l, err := s.tryLockAs(name, kind)
		if !errors.Is(err, errBusy) {
			return l, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		if waited += wait; waited >= s.warnAfter && waited-wait < s.warnAfter {
			s.warn("waiting for another process, which has %s locked", s.path(filepath.Join("locks", name)))
		}
	}
}

// tryLock takes the lock called name if it is free. Otherwise it returns errBusy.
func (s *Store) tryLock(name string) (*held, error) { return s.tryLockAs(name, osfile.Exclusive) }

func (s *Store) tryLockAs(name string, kind osfile.LockKind) (*held, error) {
	for {
		l, err := s.openLock(name)
		if err != nil {
			return nil, err
		}
		if err := flock(l.f, kind); err != nil {
			l.f.Close()
			return nil, err
		}
		if l.current() {
			return l, nil
		}
		l.f.Close() // its holder has removed it
	}
}

func (s *Store) openLock(name string) (*held, error) {
	name = filepath.Join("locks", name)
	f, err := s.openFile(name, os.O_RDWR)
	if errors.Is(err, fs.ErrPermission) {
		// The file of another user can still be locked, except on NFS.
		if r, rerr := osfile.Open(s.path(name), os.O_RDONLY|osfile.NoFollow|osfile.NonBlock, 0); rerr == nil {
			f, err = r, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return &held{f, s.path(name)}, nil
}

func flock(f *os.File, kind osfile.LockKind) error {
	switch err := osfile.Lock(f, kind); err {
	case nil:
		return nil
	case osfile.ErrLocked:
		return errBusy
	default:
		return storeError(fmt.Errorf("%s: lock: %w", f.Name(), err))
	}
}

// current reports whether the locked file still has its name.
func (l *held) current() bool {
	mine, err := l.f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(l.path)
	return err == nil && os.SameFile(mine, named)
}

// release releases the lock, and removes its file if remove is true. Processes that have
// opened the file to wait for the lock notice that (see current).
func (l *held) release(remove bool) {
	if l == nil {
		return
	}
	if remove {
		os.Remove(l.path)
	}
	l.f.Close()
}
