package cas

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/osfile"
)

// A Use names files of the cache that must stay while a process works with them. It is a
// file in locks/, which has the names, one a line, and is locked by the process. A process
// that dies ends its uses with it.
type Use struct {
	s *Store

	mu sync.Mutex
	l  *held // nil once it was released
}

const (
	usePrefix = "use-"
	gateLock  = "prune" // held shared to begin a use, and exclusively by a Sweep
	maxUse    = 64 << 20
)

func isUseID(s string) bool {
	const capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return consistsOf(s, capitals+".:-", 200) && s != "" && strings.IndexByte(".:-", s[0]) < 0
}

// Use notes that the blobs and artifacts of these names, relative to the cache, are in use:
// no [Sweep] removes them before Release. They need not exist yet. Use waits for a running
// Sweep, so what the caller finds in the cache after Use stays there. Several uses, of
// several processes too, may have one id, which is for people: a to z, 0 to 9, dots, colons
// and dashes, at most 200.
//
// The error is ErrStore if the cache cannot be written. The caller can go on, without
// protection: a nil *Use can be released.
func (s *Store) Use(ctx context.Context, id string, names []string) (*Use, error) {
	if !isUseID(id) {
		return nil, fmt.Errorf("use with id %.80q", id)
	}
	if err := checkNames(names); err != nil {
		return nil, err
	}
	gate, err := s.lockAs(ctx, gateLock, osfile.Shared)
	if err != nil {
		return nil, err
	}
	defer gate.release(false)
	l, err := s.freeUse(usePrefix + id)
	if err != nil {
		return nil, err
	}
	u := &Use{s: s, l: l}
	if err := u.write(names); err != nil {
		u.Release()
		return nil, err
	}
	return u, nil
}

// freeUse returns the first of the numbered files of name that nobody holds, empty.
func (s *Store) freeUse(name string) (*held, error) {
	for i := 0; ; i++ {
		l, err := s.tryLock(fmt.Sprintf("%s-%d", name, i))
		if errors.Is(err, errBusy) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if l.f.Truncate(0) == nil {
			return l, nil
		}
		l.release(false) // another user's, who is gone
	}
}

// Add adds names to the use. Like Use it waits for a running Sweep.
func (u *Use) Add(ctx context.Context, names []string) error {
	if err := checkNames(names); err != nil {
		return err
	}
	gate, err := u.s.lockAs(ctx, gateLock, osfile.Shared)
	if err != nil {
		return err
	}
	defer gate.release(false)
	return u.write(names)
}

func (u *Use) write(names []string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.l == nil {
		return fmt.Errorf("use: %w", os.ErrClosed)
	}
	if len(names) == 0 {
		return nil
	}
	_, err := u.l.f.WriteString(strings.Join(names, "\n") + "\n")
	return storeError(err)
}

// Release ends the use. Calling it again, or for nil, does nothing.
func (u *Use) Release() {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.l.release(true)
	u.l = nil
}

// checkNames returns an error for a name that neither a blob nor an artifact has.
func checkNames(names []string) error {
	for _, name := range names {
		_, isArtifact := ParseArtifact(name)
		if _, isBlob := layout.ParseBlobName(name); !isBlob && !isArtifact {
			return fmt.Errorf("%.200q is neither a blob nor an artifact", name)
		}
	}
	return nil
}

// Touch notes that the image whose manifest is d was used at the time now. It changes the
// modification time of the blob, if it can.
func (s *Store) Touch(d digest.Digest, now time.Time) {
	if layout.CheckDigest(d) == nil {
		os.Chtimes(s.path(layout.BlobName(d)), time.Time{}, now)
	}
}
