package materialize

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/oci/pull"
)

// TestFirstPart has an image of which the upper disk and the flat image both fail, the flat
// image earlier: the upper disk is reported.
func TestFirstPart(t *testing.T) {
	b := newBench(t)
	b.AddImage("r", "v1", stack(t, 3)...)
	flatFailed := make(chan struct{})
	_, err := b.run(t.Context(), "r:v1", func(o *Options, _ *cas.Options) {
		o.Flat = FlatOptions{Format: Ext4, Size: 4096}
		o.Upper = &Upper{filepath.Join(t.TempDir(), "absent", "upper"), 64 << 20}
		o.Progress = func(e Event) {
			switch {
			case e.Stage == StageFlat && e.Kind == pull.EventFailed:
				close(flatFailed)
			case e.Stage == StageUpper && e.Kind == pull.EventStarted:
				select {
				case <-flatFailed:
				case <-time.After(10 * time.Second):
					t.Error("the flat image does not fail")
				}
			}
		}
	})
	if err == nil || !strings.Contains(err.Error(), "upper") {
		t.Errorf("%v", err)
	}
}

// TestSumOfHoles hashes a sparse file: its holes count as zeros, and are not read.
func TestSumOfHoles(t *testing.T) {
	const size = 96 << 20
	path := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for _, off := range []int64{8 << 20, 40<<20 + 5} {
		_, err := f.WriteAt([]byte("data"), off)
		must(t, err)
	}
	must(t, f.Truncate(size))
	if from, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA); err != nil || from == 0 {
		t.Skip("the file system has no holes")
	}
	before := bytesRead(t)
	sum, err := sumOf(t.Context(), f, size)
	must(t, err)
	if n := bytesRead(t) - before; n > 1<<20 {
		t.Errorf("it has read %d bytes", n)
	}
	if want := fileDigest(t, path); sum != want {
		t.Errorf("%s, want %s", sum, want)
	}
}

// bytesRead returns how many bytes the process has read from files.
func bytesRead(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	must(t, err)
	_, err = fmt.Sscanf(string(text), "rchar: %d", &n)
	must(t, err)
	return n
}

func fileDigest(t *testing.T, path string) digest.Digest {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return digest.FromBytes(data)
}

// TestOneHash makes a flat image twice at the same time: the one that waits for the other does
// not hash the image again.
func TestOneHash(t *testing.T) {
	const size = 32 << 20
	b := newBench(t)
	p := ocitest.NewPack()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(data)
	p.Add("data", data)
	b.AddImage("r", "v1", p.Tar(t))
	flat := func(o *Options, _ *cas.Options) { o.Target, o.Flat.Format = Flat, Ext4 }
	reads := func(n int) int64 {
		b.dir = filepath.Join(t.TempDir(), "cache")
		b.mustRun("r:v1", func(o *Options, _ *cas.Options) { o.Target = Layers })
		before := bytesRead(t)
		var g errgroup.Group
		for range n {
			g.Go(func() error {
				_, err := b.run(t.Context(), "r:v1", flat)
				return err
			})
		}
		must(t, g.Wait())
		return bytesRead(t) - before
	}
	if one, two := reads(1), reads(2); one < size || two > one+size/2 {
		t.Errorf("one reads %d bytes, two %d", one, two)
	}
}
