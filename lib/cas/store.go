package cas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/jsonfault"
	"ocipipe/lib/layout"
	"ocipipe/lib/osfile"
)

var (
	// ErrExists is what Begin and Fill return for a blob that the cache has already.
	ErrExists = errors.New("already in the cache")
	// ErrMismatch is what Commit and a reader return for content that does not have
	// its digest.
	ErrMismatch = errors.New("content does not have its digest")
	// ErrStore is in every error that concerns only the storing: a read-only directory, a
	// missing permission, a full disk, no locks. The caller may go on without the cache.
	ErrStore = errors.New("cannot write to the cache")
	// ErrNotCache is in the error of Open for a directory that holds something else, or a
	// layout of an unknown version.
	ErrNotCache = errors.New("not a cache")
)

// Options say how a Store behaves.
type Options struct {
	// Verify makes a Store hash each blob before it hands it out for the first time. The
	// Store warns of a blob that does not have its digest and treats it as missing, so that
	// the caller fetches it again and replaces it.
	Verify bool
	// Fresh makes a Store treat every blob from before Open as missing: the caller fetches
	// each again, once, and replaces it.
	Fresh bool
	// Existing makes Open fail with fs.ErrNotExist where there is no cache, instead of making
	// one.
	Existing bool
	// Warn takes messages to the user; nil drops them.
	Warn func(msg string)
}

// A Store is a cache in a directory. Its methods may be called from several goroutines, and
// several processes may use the directory.
type Store struct {
	dir       string
	opts      Options
	mode      fs.FileMode   // permissions and setgid of dir, which new files in it get
	warnAfter time.Duration // how long to wait for a lock without a warning

	mu     sync.Mutex
	known  map[string]verdict // by the name of the file
	warned map[string]bool    // messages of warnOnce
}

// verdict is what a Store knows about one file with the name of a blob or an artifact.
type verdict struct {
	file fs.FileInfo
	good bool
}

// isOf reports whether v is about the file of info. Its modification time may be another:
// see Touch.
func (v verdict) isOf(info fs.FileInfo) bool {
	return os.SameFile(v.file, info) && v.file.Size() == info.Size()
}

// Open opens the cache in dir. If dir does not exist or is empty, Open creates the cache.
// Any OCI image layout can be opened, even one that cannot be written.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, opts: o, warnAfter: 30 * time.Second, known: map[string]verdict{}, warned: map[string]bool{}}
	err := s.checkLayout()
	if errors.Is(err, fs.ErrNotExist) && !o.Existing {
		err = s.create(ctx)
	}
	if err != nil {
		return nil, s.openError(err)
	}
	return s, nil
}

// openError adds the directory to err, unless err has it already.
func (s *Store) openError(err error) error {
	var pe *fs.PathError
	isFile := errors.As(err, &pe)
	switch {
	case s.opts.Existing && errors.Is(err, fs.ErrNotExist):
		err = &absentError{}
		if _, statErr := os.Stat(s.dir); statErr == nil {
			err = &absentError{inDir: true}
		}
	case isFile && errors.Is(err, ErrStore):
		return err
	case isFile && pe.Path == s.dir:
		err = pe.Err
	}
	return fmt.Errorf("cache %s: %w", s.dir, err)
}

// absentError says that there is no cache: no directory, or no cache in it.
type absentError struct{ inDir bool }

func (e *absentError) Error() string {
	if e.inDir {
		return "not a cache: it has no oci-layout"
	}
	return "no such directory"
}

func (e *absentError) Unwrap() error { return fs.ErrNotExist }

// Dir returns the directory as it was given to Open.
func (s *Store) Dir() string { return s.dir }

// checkLayout returns nil for a layout that can be used, and fs.ErrNotExist for a directory
// that does not exist or has no oci-layout.
func (s *Store) checkLayout() error {
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: not a directory", ErrNotCache)
	}
	s.mode = info.Mode() & (fs.ModePerm | fs.ModeSetgid)
	data, err := s.read(layout.File, 4096)
	if err != nil {
		return err
	}
	var l struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return fmt.Errorf("%w: oci-layout: %v", ErrNotCache, jsonfault.Explain(err))
	}
	if l.Version != layout.Version {
		return fmt.Errorf("%w: oci-layout: version %.20q, not %q", ErrNotCache, l.Version, layout.Version)
	}
	return nil
}

// create makes dir a layout. If several processes try, the first one does it. The file
// oci-layout is written last.
func (s *Store) create(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return storeError(err)
	}
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	s.mode = info.Mode() & (fs.ModePerm | fs.ModeSetgid)
	if err := s.checkEmpty(); err != nil {
		if s.checkLayout() == nil {
			return nil // another process has made the cache meanwhile, and uses it
		}
		return err
	}
	l, err := s.lock(ctx, layout.Index)
	if err != nil {
		return err
	}
	defer l.release(false)
	if err := s.checkLayout(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.mkdirAll(layout.Blobs); err != nil {
		return err
	}
	if _, err := os.Lstat(s.path(layout.Index)); err != nil {
		if err := s.replace(layout.Index, []byte(emptyIndex)); err != nil {
			return err
		}
	}
	return s.replace(layout.File, []byte(layout.FileContent+"\n"))
}

// checkEmpty returns an error if the directory holds anything but what create makes. An
// interrupted create may have left some of that.
func (s *Store) checkEmpty() error {
	ents, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	ours := []string{layout.Blobs, layout.Index, "locks", layout.File, "tmp", "lost+found"}
	for _, e := range ents {
		if !slices.Contains(ours, e.Name()) {
			return fmt.Errorf("%w: it has no oci-layout, but %q", ErrNotCache, e.Name())
		}
	}
	return nil
}

// A Blob is an open blob. The caller closes it. It stays readable whatever happens to
// the cache.
type Blob struct {
	*os.File
	Size int64
}

// Blob opens the blob of d. The error is fs.ErrNotExist if the cache does not have it, or
// not in a usable form. Its content was verified when it was stored; only with
// Options.Verify has it been hashed again. If ctx is done meanwhile, the error is its cause.
func (s *Store) Blob(ctx context.Context, d digest.Digest) (*Blob, error) {
	if err := layout.CheckDigest(d); err != nil {
		return nil, err
	}
	// NonBlock: opening a named pipe must not wait for its writer.
	f, err := osfile.Open(s.path(layout.BlobName(d)), os.O_RDONLY|osfile.NonBlock, 0)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.warnOnce("%v: not used", err)
		}
		return nil, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		s.warnOnce("%s: %v: not used", f.Name(), errNotRegular)
	} else if err == nil && s.usable(ctx, d, f, info) {
		return &Blob{f, info.Size()}, nil
	}
	f.Close()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
}

// PassOver makes this Store treat the blob of d as missing until it is put again. The
// caller has found that its content does not have its digest.
func (s *Store) PassOver(d digest.Digest) error {
	if err := layout.CheckDigest(d); err != nil {
		return err
	}
	info, err := os.Stat(s.path(layout.BlobName(d)))
	if err == nil {
		s.judge(layout.BlobName(d), info, false)
	}
	return nil
}

// usable reports whether the file f may be handed out as the blob of d.
func (s *Store) usable(ctx context.Context, d digest.Digest, f *os.File, info fs.FileInfo) bool {
	s.mu.Lock()
	v, ok := s.known[layout.BlobName(d)]
	s.mu.Unlock()
	switch {
	case ok && v.isOf(info) && v.file.ModTime().Equal(info.ModTime()):
		return v.good
	case ok && v.isOf(info) && !v.good:
		return false
	case s.opts.Fresh && !(ok && v.isOf(info)):
		return false
	case !s.opts.Verify:
		return true
	}
	good := false
	sum, err := Digest(ctx, d.Algorithm(), f)
	switch {
	case ctx.Err() != nil:
		return false // nothing is known of it
	case err != nil:
		s.warn("%s: %v: fetched anew", s.path(layout.BlobName(d)), err)
	case sum != d:
		s.warn("%s: corrupt, its digest is %s: fetched anew", s.path(layout.BlobName(d)), sum)
	default:
		_, err := f.Seek(0, io.SeekStart)
		good = err == nil
	}
	s.judge(layout.BlobName(d), info, good)
	return good
}

// judge notes whether the file of info may be handed out under name.
func (s *Store) judge(name string, info fs.FileInfo, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[name] = verdict{info, good}
}

// untilDone is a reader that ends with ctx.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Digest reads all of r, and returns its digest. If ctx is done meanwhile, the error is its
// cause.
func Digest(ctx context.Context, a digest.Algorithm, r io.Reader) (digest.Digest, error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	h := a.Hash()
	if _, err := io.CopyBuffer(h, untilDone{ctx, r}, buf[:]); err != nil {
		return "", err
	}
	return digest.NewDigest(a, h), nil
}

func (s *Store) warn(format string, args ...any) {
	if s.opts.Warn != nil {
		s.opts.Warn(fmt.Sprintf(format, args...))
	}
}

// warnOnce is warn for what is found again each time that somebody looks.
func (s *Store) warnOnce(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	s.mu.Lock()
	isNew := !s.warned[msg]
	s.warned[msg] = true
	s.mu.Unlock()
	if isNew {
		s.warn("%s", msg)
	}
}
