package materialize

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/reftest"
)

// disk is a file system that can be full.
type disk struct {
	t    *testing.T
	path string
}

func newDisk(t *testing.T) disk {
	t.Helper()
	reftest.NeedRoot(t)
	d := disk{t, t.TempDir()}
	if err := unix.Mount("tmpfs", d.path, "tmpfs", 0, "size=64m"); err != nil {
		reftest.Skip(t, "mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(d.path, unix.MNT_DETACH)) })
	return d
}

// limit gives the disk a size, in pages, and a number of inodes.
func (d disk) limit(pages, inodes int) {
	d.t.Helper()
	must(d.t, unix.Mount("", d.path, "", unix.MS_REMOUNT, fmt.Sprintf("size=%d,nr_inodes=%d", pages*os.Getpagesize(), inodes)))
}

func (d disk) used() (pages, inodes int) {
	d.t.Helper()
	var st unix.Statfs_t
	must(d.t, unix.Statfs(d.path, &st))
	return int(st.Blocks - st.Bfree), int(st.Files - st.Ffree)
}

// TestFullDisk runs on disks of every size, and of every number of files, up to those that
// suffice. Whatever the moment at which it is full, it is said in one line, nothing is left
// that is not complete, and a run with more room goes on.
func TestFullDisk(t *testing.T) {
	b := newBench(t)
	layers := stack(t, 4)
	b.AddImage("r", "v1", layers...)
	saved := ocitest.NewPack().DockerSave(t, ocitest.Image{Platform: ocitest.AMD64, Layers: layers}, "x:1").Tar(t)
	archive := filepath.Join(t.TempDir(), "saved.tar")
	must(t, os.WriteFile(archive, saved, 0o600))
	d := newDisk(t)
	b.dir = filepath.Join(d.path, "cache")
	for _, c := range []struct {
		ref  string
		with func(*Options)
	}{
		{"r:v1", func(*Options) {}},
		{"docker-archive:" + archive, func(o *Options) { o.Pull.As = "x" }},
		{"docker-archive:" + archive, func(o *Options) {}},
	} {
		upper := filepath.Join(d.path, "upper")
		change := func(o *Options, _ *cas.Options) { c.with(o); o.Upper = &Upper{upper, 64 << 20} }
		want := contents(t, b.mustRun(c.ref, change))
		pages, inodes := d.used()
		step := 3
		if os.Getenv("SOAK") == "true" {
			step = 1
		}
		type size struct{ pages, inodes int }
		var sizes []size
		for n := 1; n < pages; n += step {
			sizes = append(sizes, size{n, 10000})
		}
		for n := 2; n < inodes; n += step {
			sizes = append(sizes, size{16384, n})
		}
		failed := 0
		for _, s := range sizes {
			must(t, os.RemoveAll(b.dir))
			must(t, os.WriteFile(upper, []byte("old"), 0o600))
			d.limit(s.pages, s.inodes)
			err := b.tryFull(c.ref, change)
			if err != nil {
				failed++
				if !strings.Contains(err.Error(), "no space left on device") || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v: %v", s, err)
				}
			}
			b.checkComplete(want)
			if now, rerr := os.ReadFile(upper); (string(now) != "old") != (err == nil) {
				t.Errorf("the upper disk: %d bytes, %v", len(now), rerr)
			}
			d.limit(16384, 10000)
			r := b.mustRun(c.ref, change)
			b.checkNoTemporary()
			b.checkResult(r, c.ref, want)
			if t.Failed() {
				t.Fatalf("%s: on a disk of %d pages and %d files: %v, warned %q", c.ref, s.pages, s.inodes, err, b.warned)
			}
		}
		t.Logf("%s: %d of %d failed", c.ref, failed, len(sizes))
		if failed < len(sizes)/3 {
			t.Error("too few failed")
		}
		must(t, os.RemoveAll(b.dir))
		must(t, os.RemoveAll(upper))
	}
}

// tryFull is run, from the opening of the cache on, where the disk may be full.
func (b *bench) tryFull(ref string, change func(*Options, *cas.Options)) error {
	b.warned = nil
	store, err := cas.Open(b.t.Context(), b.dir, cas.Options{})
	if err == nil {
		_, err = b.run(b.t.Context(), ref, func(o *Options, c *cas.Options) { change(o, c); o.Pull.Cache = store })
	}
	return err
}

// checkComplete fails unless all files that the cache has under the names of artifacts are
// those of want.
func (b *bench) checkComplete(want map[string]string) {
	b.t.Helper()
	for _, path := range b.artifacts() {
		name, err := filepath.Rel(b.dir, path)
		must(b.t, err)
		data, err := os.ReadFile(path)
		must(b.t, err)
		if content, ok := want[name]; ok && content != string(data) {
			b.t.Errorf("%s is not complete", name)
		}
	}
	b.checkNoTemporary()
}

// checkNoTemporary fails if the cache has temporary files of anything but downloads. A blob
// for which there was no room stays one that has arrived in part.
func (b *bench) checkNoTemporary() {
	b.t.Helper()
	left, err := filepath.Glob(filepath.Join(b.dir, "tmp", "*"))
	must(b.t, err)
	for _, path := range left {
		if ext := filepath.Ext(path); ext != ".part" && ext != ".ranges" {
			b.t.Errorf("left: %s", path)
		}
	}
}

// TestFullDiskHit shows that what a full disk has is served.
func TestFullDiskHit(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 4)...)
	d := newDisk(t)
	b.dir = filepath.Join(d.path, "cache")
	b.mustRun("r:v1", nil)
	pages, inodes := d.used()
	for _, policy := range []pull.Policy{pull.IfMissing, pull.Always, pull.Never} {
		d.limit(pages, inodes)
		r := b.mustRun("r:v1", func(o *Options, c *cas.Options) { o.Pull.Policy, o.Verify, c.Verify = policy, true, true })
		if !r.Hit || slices.ContainsFunc(r.Layers, func(l Layer) bool { return l.Built }) {
			t.Errorf("%s", r.JSON())
		}
		d.limit(pages+10, inodes+10)
	}
}
