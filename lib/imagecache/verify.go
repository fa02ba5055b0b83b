package imagecache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"ocipipe/lib/cas"
	"ocipipe/lib/erofs"
	"ocipipe/lib/layout"
)

// VerifyOptions say how Verify works.
type VerifyOptions struct {
	// Repair removes files that are damaged, so that they are fetched or made anew, and
	// entries for images that are not there. An image of which only blobs of layers are
	// missing moves from index.json to refs.json.
	Repair bool
	// Jobs is how many files are read at a time; 0 is one for each processor.
	Jobs int
	// Progress is called with the bytes that have been read, and those in all. nil drops
	// them. Any goroutine may call it.
	Progress func(done, total int64)
}

// A Fault is something wrong in a cache.
type Fault struct {
	File   string `json:"file"` // relative to the cache
	What   string `json:"what"`
	Repair string `json:"repair,omitempty"` // what was done about it; "" for nothing
}

// A Verification is what Verify has found.
type Verification struct {
	Files   int      `json:"files"` // that were verified
	Bytes   int64    `json:"bytes"`
	Faults  []Fault  `json:"faults"`  // by file
	Foreign []string `json:"foreign"` // names of what is not of the cache, and is left alone
}

// Unrepaired returns the number of faults about which nothing was done.
func (v Verification) Unrepaired() (n int) {
	for _, f := range v.Faults {
		if f.Repair == "" {
			n++
		}
	}
	return n
}

// Verify reads all blobs and artifacts of s. Blobs must have their digests, and flat and
// merged images those of their records. The image of a layer, and a merged one (fsmeta), must
// have the UUID that follows from its bytes, and the size that it states; a merged one must
// have been made of the images of the layers that are there. A disk must name files that
// exist, with their sizes. Entries of index.json and refs.json must be complete.
//
// Of artifacts of another version (ABI), flat and merged images must have the digests of
// their records, if they have any, and the others must only be EROFS images and disks of
// which nothing is missing. A file that a process puts in place meanwhile may or may not be
// looked at. Faults are not errors. With Repair the
// error is ErrStore (of package cas) if the cache cannot be written; then the faults are
// still all there.
func Verify(ctx context.Context, s *cas.Store, o VerifyOptions) (Verification, error) {
	v := &verifier{s: s, bad: map[string]fs.FileInfo{}, ofEntry: map[[4]string][]int{}, result: Verification{Faults: []Fault{}, Foreign: []string{}}}
	faults, err := s.IndexFaults(ctx, false)
	if err != nil {
		return v.result, err
	}
	for _, f := range faults {
		v.fault(f.File, "%s", f.What)
	}
	if err := v.read(ctx, o); err != nil {
		return v.result, err
	}
	v.entries()
	if o.Repair && len(v.result.Faults) > 0 {
		err = v.repair(ctx)
	}
	slices.SortStableFunc(v.result.Faults, func(a, b Fault) int { return cmp.Compare(a.File, b.File) })
	slices.Sort(v.result.Foreign)
	return v.result, err
}

// verifier verifies a cache.
type verifier struct {
	*state
	s       *cas.Store
	result  Verification
	ofEntry map[[4]string][]int // the faults of an entry

	mu  sync.Mutex
	bad map[string]fs.FileInfo // files that are damaged, as they were then
}

func (v *verifier) fault(file, format string, args ...any) {
	v.result.Faults = append(v.result.Faults, Fault{File: file, What: fmt.Sprintf(format, args...)})
}

// read verifies all files.
func (v *verifier) read(ctx context.Context, o VerifyOptions) (err error) {
	refs, _ := v.s.AllRefs() // what cannot be read is among the faults
	if v.state, err = loadRefs(ctx, v.s, refs, true); err != nil {
		return err
	}
	v.result.Foreign = append(v.result.Foreign, v.foreign...)
	var names, disks []string
	total := int64(0)
	for name, f := range v.files {
		total += f.Size
		if strings.HasPrefix(name, "vmdk/") {
			disks = append(disks, name) // after the files that they name
		} else {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slices.Sort(disks)
	p := &counter{total: total, report: o.Progress}
	for _, list := range [][]string{names, disks} {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(cmp.Or(max(0, o.Jobs), runtime.GOMAXPROCS(0)))
		for _, name := range list {
			g.Go(func() error { return v.file(ctx, name, p) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// counter counts the bytes that were read.
type counter struct {
	done   atomic.Int64
	total  int64
	report func(done, total int64)
}

func (c *counter) add(n int64) {
	if done := c.done.Add(n); c.report != nil {
		c.report(done, c.total)
	}
}

// counted is a file whose bytes are counted as they are read, up to left in all.
type counted struct {
	f    *os.File
	p    *counter
	left atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.f.Read(b)
	c.count(int64(n))
	return n, err
}

func (c *counted) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.f.ReadAt(b, off)
	c.count(int64(n))
	return n, err
}

func (c *counted) count(n int64) {
	for {
		left := c.left.Load()
		n = min(n, left)
		if c.left.CompareAndSwap(left, left-n) {
			c.p.add(n)
			return
		}
	}
}

// file verifies the file called name. An error is that of a context.
func (v *verifier) file(ctx context.Context, name string, p *counter) error {
	f, err := v.s.OpenFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return context.Cause(ctx) // removed meanwhile
	}
	var info fs.FileInfo
	size := v.files[name].Size
	c := &counted{f: f, p: p}
	c.left.Store(size)
	if err == nil {
		defer f.Close()
		if info, err = f.Stat(); err == nil {
			err = v.content(ctx, name, c, info.Size())
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.count(size)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.result.Files++
	v.result.Bytes += size
	if err == nil {
		return nil
	}
	v.fault(name, "%s", cause(err))
	if !errors.Is(err, fs.ErrPermission) { // another user's, who may be able to read it
		v.bad[name] = info
	}
	return nil
}

// cause returns the text of err without the path, which the fault has.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) && err == error(pe) {
		return pe.Op + ": " + pe.Err.Error()
	}
	return err.Error()
}

// content verifies the content of a file of size bytes.
func (v *verifier) content(ctx context.Context, name string, f *counted, size int64) error {
	if d, isBlob := layout.ParseBlobName(name); isBlob {
		return checkDigest(ctx, f, d)
	}
	a, _ := cas.ParseArtifact(name)
	switch {
	case a.ABI != ABI:
		return v.checkForeign(ctx, a, f, size)
	case a.Ext == "json":
		return v.checkRecord(name)
	case a.Kind == "rootfs":
		return v.checkRecorded(ctx, a, f, size)
	case a.Kind == "vmdk":
		return v.checkDisk(ctx, a, f)
	case a.Kind == "fsmeta":
		return v.checkMerged(ctx, a, f, size)
	}
	return erofs.VerifyUUID(ctx, f, size)
}

func checkDigest(ctx context.Context, r io.Reader, want digest.Digest) error {
	got, err := cas.Digest(ctx, want.Algorithm(), r)
	if err == nil && got != want {
		err = fmt.Errorf("damaged: its digest is %s", got)
	}
	return err
}

// entries finds the entries of images that are not complete.
func (v *verifier) entries() {
	for _, im := range v.images {
		if im.unknown {
			continue
		}
		problems := slices.Clone(im.Problems)
		for i, l := range im.Layers {
			if v.isBad(l.Digest) {
				problems = append(problems, fmt.Sprintf("layer %d %s is damaged", i, l.Digest))
			}
		}
		if im.Index != "" && v.isBad(im.Index) {
			problems = append(problems, fmt.Sprintf("index %s is damaged", im.Index))
		}
		for _, p := range problems {
			v.ofEntry[im.entry()] = append(v.ofEntry[im.entry()], len(v.result.Faults))
			v.fault(listOf(im), "%s: %s", cmp.Or(im.Name, im.Manifest.String()), p)
		}
	}
}

// isBad reports whether the blob d was found damaged.
func (v *verifier) isBad(d digest.Digest) bool {
	_, bad := v.bad[layout.BlobName(d)]
	return bad && layout.CheckDigest(d) == nil
}
