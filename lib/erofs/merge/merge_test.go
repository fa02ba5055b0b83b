package merge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// faulty is an image that fails once it has been opened, and notes who reads it.
type faulty struct {
	*bytes.Reader
	fails   error
	reading atomic.Int32
	reads   atomic.Int32
}

func (f *faulty) ReadAt(p []byte, off int64) (int, error) {
	f.reading.Add(1)
	defer f.reading.Add(-1)
	f.reads.Add(1)
	runtime.Gosched()
	if f.fails != nil {
		return 0, f.fails
	}
	return f.Reader.ReadAt(p, off)
}

// mergeable are layers of many files, all over images that note who reads them.
func mergeable(t *testing.T, n int) (layers []merge.Layer, images []*faulty) {
	var entries []tree.Entry
	for d := range 40 {
		entries = append(entries, erofstest.Dir(fmt.Sprint("d", d)))
		for f := range 100 {
			entries = append(entries, erofstest.Symlink(fmt.Sprintf("d%d/%d", d, f), strings.Repeat("x", 1000)))
		}
	}
	m := &erofstest.Image{}
	w, err := erofs.NewWriter(t.Context(), m, erofs.Options{Layer: true})
	if err != nil {
		t.Fatal(err)
	}
	erofstest.Fill(t, w, entries...)
	for i := range n {
		f := &faulty{Reader: bytes.NewReader(m.B)}
		img, err := read.Open(f, int64(len(m.B)))
		if err != nil {
			t.Fatal(err)
		}
		layers, images = append(layers, merge.Layer{Name: fmt.Sprint("layer ", i), Image: img}), append(images, f)
	}
	return layers, images
}

// TestMergeEndsWithFirstError: of layers of which some cannot be read the lowest is
// named, and when merge.Layers returns nobody reads any of them.
func TestMergeEndsWithFirstError(t *testing.T) {
	const n = 8
	for _, k := range []int{0, 3, n - 1} {
		layers, images := mergeable(t, n)
		broken := errors.New("broken")
		images[k].fails = broken
		images[min(k+1, n-1)].fails = broken
		whole := images[0].reads.Load()
		before := reftest.RunningNow(t)
		_, err := merge.Layers(context.Background(), layers, merge.Options{})
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), fmt.Sprintf("layer %d: ", k)) {
			t.Errorf("%d is broken: %v", k, err)
		}
		reads := checkIdle(t, images)
		before.Left(t)
		runtime.Gosched()
		if again := checkIdle(t, images); again != reads {
			t.Errorf("%d is broken: %d reads, and later %d", k, reads, again)
		}
		if last := images[n-1].reads.Load(); k == 0 && last > whole {
			t.Errorf("the last layer was read %d times behind a broken one", last-whole)
		}
	}
}

// checkIdle checks that no image is being read, and returns how often all have been.
func checkIdle(t *testing.T, images []*faulty) (reads int32) {
	t.Helper()
	for i, f := range images {
		if f.reading.Load() != 0 {
			t.Errorf("layer %d is being read", i)
		}
		reads += f.reads.Load()
	}
	return reads
}

// TestMergeCancelled ends a merge, and an image of one, by the context.
func TestMergeCancelled(t *testing.T) {
	why := errors.New("no more")
	layers, images := mergeable(t, 4)
	before := reftest.RunningNow(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if _, err := merge.Layers(ctx, layers, merge.Options{}); err != why {
		t.Error(err)
	}
	if err := erofs.WriteFsmeta(ctx, &erofstest.Image{}, layers, tree.Limits{}, erofs.Options{SpoolDir: t.TempDir()}); err != why {
		t.Error(err)
	}
	later, cancelLater := context.WithCancelCause(context.Background())
	go cancelLater(why)
	if _, err := merge.Layers(later, layers, merge.Options{}); err != nil && err != why {
		t.Error(err)
	}
	checkIdle(t, images)
	before.Left(t)
}
