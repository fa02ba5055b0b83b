package cas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/layout"
	"ocipipe/lib/osfile"
)

// ArtifactKinds are the directories of artifacts.
var ArtifactKinds = []string{"layers", "fsmeta", "vmdk", "rootfs"}

// An Artifact names a file that one version of a writer has derived from blobs.
type Artifact struct {
	Kind    string        // the directory: one of ArtifactKinds
	ABI     string        // the version of the writer: a to z, 0 to 9, dots and dashes, at most 32
	Key     digest.Digest // of what it derives from
	Variant string        // options that are not the default, with the characters of ABI, at most 64; "" for the default
	Ext     string        // "erofs", "ext4", "vmdk" or "json"
}

// consistsOf reports whether s has at most limit characters, all of them letters a to z,
// digits or in more. Programs that only look into the cache feel the time that regular
// expressions of this form take to compile.
func consistsOf(s, more string, limit int) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return len(s) <= limit
}

func isAlphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func isABI(s string) bool { return consistsOf(s, ".-", 32) && s != "" && isAlphanumeric(s[0]) }

// Check returns an error for an artifact that no file can have.
func (a Artifact) Check() error {
	switch {
	case !slices.Contains(ArtifactKinds, a.Kind):
		return fmt.Errorf("artifact of kind %.80q", a.Kind)
	case !isABI(a.ABI):
		return fmt.Errorf("artifact with ABI %.80q", a.ABI)
	case !consistsOf(a.Variant, ".-", 64):
		return fmt.Errorf("artifact with variant %.80q", a.Variant)
	case a.Ext == "" || !consistsOf(a.Ext, "", 5):
		return fmt.Errorf("artifact with extension %.80q", a.Ext)
	}
	return layout.CheckDigest(a.Key)
}

// Name returns the name of the file, with slashes, relative to the cache:
// KIND/ABI/ALGORITHM/HEX[-VARIANT].EXT.
func (a Artifact) Name() string {
	algorithm, hex, _ := strings.Cut(a.Key.String(), ":")
	if a.Variant != "" {
		hex += "-" + a.Variant
	}
	return a.Kind + "/" + a.ABI + "/" + algorithm + "/" + hex + "." + a.Ext
}

// ParseArtifact is the inverse of Name. ok is false for a name that no artifact has.
func ParseArtifact(name string) (a Artifact, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 {
		return Artifact{}, false
	}
	dot := strings.LastIndexByte(parts[3], '.')
	if dot < 0 {
		return Artifact{}, false
	}
	hex, variant, _ := strings.Cut(parts[3][:dot], "-")
	a = Artifact{parts[0], parts[1], digest.NewDigestFromEncoded(digest.Algorithm(parts[2]), hex), variant, parts[3][dot+1:]}
	return a, a.Check() == nil && a.Name() == name
}

// flat returns the name of the lock, and of the temporary file, of an artifact. No name of
// an artifact has the character that replaces slashes.
func flat(name string) string { return strings.ReplaceAll(name, "/", "_") }

// artifactOf returns the name of the artifact that a file in tmp or locks belongs to.
func artifactOf(flat string) (name string, ok bool) {
	name = strings.ReplaceAll(flat, "_", "/")
	_, ok = ParseArtifact(name)
	return name, ok && !strings.Contains(flat, "/")
}

// Path returns the path of the file of a, which may not exist.
func (s *Store) Path(a Artifact) string { return s.path(a.Name()) }

// Artifact opens the artifact a. The error is fs.ErrNotExist if the cache does not have it,
// or not as a regular file that can be read, if it was passed over, or if Options.Fresh is
// set and this Store has not made it. The caller closes the file, which stays readable
// whatever happens to the cache. If ctx is done, the error is its cause.
func (s *Store) Artifact(ctx context.Context, a Artifact) (*os.File, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	missing := fmt.Errorf("%s: %w", a.Name(), fs.ErrNotExist)
	f, err := osfile.Open(s.Path(a), os.O_RDONLY|osfile.NonBlock|osfile.NoFollow, 0)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.warnOnce("%v: not used", err)
		}
		return nil, missing
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		s.warnOnce("%s: %v: not used", f.Name(), errNotRegular)
	}
	if err != nil || !info.Mode().IsRegular() || !s.mayUse(a, info) {
		f.Close()
		return nil, missing
	}
	return f, nil
}

// mayUse reports whether the file of info may be handed out as a.
func (s *Store) mayUse(a Artifact, info fs.FileInfo) bool {
	s.mu.Lock()
	v, ok := s.known[a.Name()]
	s.mu.Unlock()
	if ok && v.isOf(info) && v.file.ModTime().Equal(info.ModTime()) {
		return v.good
	}
	return !s.opts.Fresh
}

// PassOverArtifact makes this Store treat a as missing until it is made again: the caller
// has found it damaged. Make then replaces it.
func (s *Store) PassOverArtifact(a Artifact) {
	if info, err := os.Lstat(s.Path(a)); err == nil {
		s.judge(a.Name(), info, false)
	}
}

// Make makes the artifact a. It waits for the lock of a and looks again: the error is
// ErrExists if another process has made it meanwhile. Otherwise it calls build with a new,
// empty file, makes what build has written there durable, and publishes it. The kernel writes
// the file to disk while build runs. The directory of a exists when build is called.
//
// An error of build is returned as it is. An error is ErrStore if the file cannot be stored;
// then build may or may not have been called. Whatever the error, a file that had the name
// before is untouched and no other is left.
func (s *Store) Make(ctx context.Context, a Artifact, build func(f *os.File) error) error {
	if err := a.Check(); err != nil {
		return err
	}
	l, err := s.lock(ctx, flat(a.Name()))
	if err != nil {
		return err
	}
	defer l.release(true)
	switch f, err := s.Artifact(ctx, a); {
	case err == nil:
		f.Close()
		return ErrExists
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return s.build(ctx, a, build)
}

// build is Make with the lock held.
func (s *Store) build(ctx context.Context, a Artifact, build func(f *os.File) error) error {
	temp := filepath.Join("tmp", flat(a.Name()))
	if err := s.mkdirAll(filepath.Dir(a.Name())); err != nil { // a disk has names relative to it
		return err
	}
	os.Remove(s.path(temp)) // a killed process left it
	f, unnamed, err := s.newFile(temp, a.Name())
	if err != nil {
		return err
	}
	defer f.Close()
	defer atomicfile.WriteBack(f)()
	if err = build(f); err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && unnamed {
		err = storeError(nameFile(f, s.path(temp)))
	}
	if err == nil {
		err = storeError(s.publish(f, temp, a.Name()))
	}
	if err != nil {
		os.Remove(s.path(temp))
		return err
	}
	f.Chmod(s.mode & 0o444) // nothing writes to an artifact
	if info, err := f.Stat(); err == nil {
		s.judge(a.Name(), info, true)
	}
	return nil
}
