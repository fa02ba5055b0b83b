package cas

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestPartAnyOrder writes parts in random ranges from several goroutines, closes
// them in between as a former process would have, and reads along.
func TestPartAnyOrder(t *testing.T) {
	for _, fsys := range []struct {
		name string
		dir  func() string
	}{{"tmp", t.TempDir}, {"tmpfs", func() string { return tmpfs(t, 32<<20) }}} {
		t.Run(fsys.name, func(t *testing.T) {
			s := open(t, fsys.dir(), Options{})
			rnd := rand.New(rand.NewPCG(3, 4))
			for i, size := range []int{0, 1, 2, 4095, 4096, 300_000, bufferSize, bufferSize + 1, 3*bufferSize - 1} {
				data := content(uint64(i), size)
				for closed := range 3 {
					p := begin(t, s, data)
					if p.Resumed() != (len(has(p)) > 0) {
						t.Errorf("Resumed is %v with %v", p.Resumed(), has(p))
					}
					writeSome(t, p, data, rnd, 3-closed)
					p.Close()
				}
				p := begin(t, s, data)
				r, err := p.NewReader(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				read := make(chan error)
				go func() { read <- iotest.TestReader(r, data) }()
				writeSome(t, p, data, rnd, 1)
				if err := <-read; err != nil {
					t.Errorf("reader of %d bytes: %v", size, err)
				}
				if err := p.Commit(ctx); err != nil {
					t.Fatal(err)
				}
				if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("reader after Commit: %d, %v", n, err)
				}
				wantBlob(t, s, data)
				late, err := p.NewReader(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(late); err != nil || !bytes.Equal(got, data) {
					t.Errorf("reader made after Commit: %d bytes, %v", len(got), err)
				}
				late.Close()
			}
			wantClean(t, s.Dir())
		})
	}
}

// writeSome writes one in fraction of what p misses, in pieces, out of order.
func writeSome(t *testing.T, p *Part, data []byte, rnd *rand.Rand, fraction int) {
	var pieces []Range
	for _, x := range p.Missing() {
		for x.Off < x.End {
			end := min(x.End, x.Off+1+rnd.Int64N(100_000))
			if rnd.IntN(fraction) == 0 {
				pieces = append(pieces, Range{x.Off, end})
			}
			x.Off = end
		}
	}
	rnd.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := i; j < len(pieces); j += 4 {
				write(t, p, data, pieces[j])
			}
		})
	}
	wg.Wait()
}

// TestJournalDamage damages a part of an earlier process: only undamaged ranges count.
func TestJournalDamage(t *testing.T) {
	data := content(1, 1000)
	line := func(off, end int64) string { return string(journalOf(t, data, Range{off, end})) }
	for _, c := range []struct {
		name, journal string
		part          []byte
		want          []Range
	}{
		{"none", line(0, 300) + line(500, 1000), data, []Range{{0, 300}, {500, 1000}}},
		{"no journal", "", data, nil},
		{"no part", line(0, 300), nil, nil},
		{"cut line", line(0, 300) + line(500, 1000)[:8], data, []Range{{0, 300}}},
		{"line without its end", line(0, 300) + line(500, 1000)[:len(line(500, 1000))-1], data, []Range{{0, 300}}},
		{"zeros", line(0, 300) + string(make([]byte, 500)) + line(500, 1000), data, []Range{{0, 300}}},
		{"part cut off", line(0, 300) + line(500, 1000), data[:999], []Range{{0, 300}}},
		{"part changed", line(0, 300) + line(300, 400), append(content(2, 300), data[300:]...), []Range{{300, 400}}},
		{"holes", line(0, 300) + line(500, 1000), append(make([]byte, 500), data[500:]...), []Range{{500, 1000}}},
		{"part too long", line(0, 1000), append(slices.Clone(data), "more"...), []Range{{0, 1000}}},
		{"beyond the size", line(0, 300) + "3e8 3e9 00000000\n", data, []Range{{0, 300}}},
		{"negative", "-1 5 00000000\n" + line(0, 300), data, nil},
		{"backwards", "5 1 00000000\n" + line(0, 300), data, nil},
		{"words", "hello\n" + line(0, 300), data, nil},
		{"long line", string(bytes.Repeat([]byte("a"), 10_000)) + "\n", data, nil},
		{"twice", line(0, 300) + line(0, 300) + line(200, 400), data, []Range{{0, 400}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir(), Options{})
			p := begin(t, s, data)
			p.Close()
			os.WriteFile(s.path(p.partFile()), c.part, 0o666)
			os.WriteFile(s.path(p.journalFile()), []byte(c.journal), 0o666)
			p = begin(t, s, data)
			if got := has(p); !slices.Equal(got, c.want) {
				t.Errorf("has %v, want %v", got, c.want)
			}
			// Halfway, once more: what the damage was must not hide what came after it.
			for _, x := range p.Missing() {
				write(t, p, data, Range{x.Off, (x.Off + x.End + 1) / 2})
			}
			have := has(p)
			p.Close()
			p = begin(t, s, data)
			if got := has(p); !slices.Equal(got, have) {
				t.Errorf("the next time it has %v, want %v", got, have)
			}
			for _, x := range p.Missing() {
				write(t, p, data, x)
			}
			if err := p.Commit(ctx); err != nil {
				t.Error(err)
			}
			wantBlob(t, open(t, s.Dir(), Options{Verify: true}), data)
			wantClean(t, s.Dir())
		})
	}
}

func TestPartMismatch(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	data, bad := content(1, 600_000), content(1, 600_000)
	bad[599_999] ^= 1
	p := begin(t, s, data)
	r, err := p.NewReader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	write(t, p, bad, Range{0, 600_000})
	if got, err := io.ReadAll(r); !errors.Is(err, ErrMismatch) || !bytes.Equal(got, bad) {
		t.Errorf("reader: %d bytes, %v", len(got), err)
	}
	if err := p.Commit(ctx); !errors.Is(err, ErrMismatch) || errors.Is(err, ErrStore) {
		t.Errorf("Commit: %v", err)
	}
	wantMiss(t, s, digest.FromBytes(data))
	wantClean(t, s.Dir())
	if err := s.Put(ctx, digest.FromBytes(data), bad); !errors.Is(err, ErrMismatch) {
		t.Errorf("Put: %v", err)
	}
	if p = begin(t, s, data); p.Resumed() {
		t.Error("something of it was kept")
	}
}

func TestPartMisuse(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	data := content(1, 1000)
	if _, err := s.Begin(ctx, digest.FromBytes(data), -1); err == nil || errors.Is(err, ErrStore) {
		t.Errorf("no size: %v", err)
	}
	p := begin(t, s, data)
	write(t, p, data, Range{100, 200})
	for _, x := range []Range{{100, 200}, {150, 151}, {0, 101}, {199, 300}, {0, 1000}} {
		if _, err := p.WriteAt(content(2, 1000)[x.Off:x.End], x.Off); err == nil || errors.Is(err, ErrStore) {
			t.Errorf("write %v again: %v", x, err)
		}
	}
	for _, off := range []int64{-1, 950, 1000, 1 << 62} {
		if _, err := p.WriteAt(data[:100], off); err == nil || errors.Is(err, ErrStore) {
			t.Errorf("write at %d: %v", off, err)
		}
	}
	if err := p.Commit(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Commit of a tenth: %v", err)
	}
	if _, err := p.WriteAt(data[:1], 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write afterwards: %v", err)
	}
	p = begin(t, s, data)
	if got := has(p); !slices.Equal(got, []Range{{100, 200}}) {
		t.Errorf("kept %v", got)
	}
	p.Discard()
	p.Close()
	wantClean(t, s.Dir())
	if err := p.Commit(ctx); err == nil {
		t.Error("Commit after Discard succeeded")
	}
	wantMiss(t, s, digest.FromBytes(data))
}

// TestPartReader ends the waiting of readers.
func TestPartReader(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	data := content(1, 1000)
	p := begin(t, s, data)
	write(t, p, data, Range{0, 100})
	write(t, p, data, Range{101, 1000})
	cancelled, cancel := context.WithCancelCause(ctx)
	a, err := p.NewReader(cancelled)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := p.NewReader(ctx)
	defer a.Close()
	defer b.Close()
	why, lost := errors.New("no more"), errors.New("connection lost")
	time.AfterFunc(5*time.Millisecond, func() { cancel(why) })
	if got, err := io.ReadAll(a); !errors.Is(err, why) || !bytes.Equal(got, data[:100]) {
		t.Errorf("cancelled: %d bytes, %v", len(got), err)
	}
	time.AfterFunc(5*time.Millisecond, func() { p.CloseWithError(lost) })
	if got, err := io.ReadAll(b); !errors.Is(err, lost) || !bytes.Equal(got, data[:100]) {
		t.Errorf("closed: %d bytes, %v", len(got), err)
	}
	if _, err := p.NewReader(ctx); err == nil {
		t.Error("a reader of what is closed")
	}
	p = begin(t, s, data)
	c, _ := p.NewReader(ctx)
	defer c.Close()
	over := make(chan struct{})
	time.AfterFunc(5*time.Millisecond, func() {
		p.DiscardWithError(lost)
		close(over)
	})
	if _, err := io.ReadAll(c); !errors.Is(err, lost) {
		t.Errorf("discarded: %v", err)
	}
	<-over
	p.Close()
	wantClean(t, s.Dir())
}

// TestBeginWaits has one goroutine wait for another to put a blob, to leave it, or
// for its context.
func TestBeginWaits(t *testing.T) {
	data := content(1, 1000)
	for _, c := range []struct {
		name string
		end  func(t *testing.T, p *Part, cancel func())
		err  error
	}{
		{"commit", func(t *testing.T, p *Part, _ func()) {
			write(t, p, data, Range{10, 1000})
			if err := p.Commit(ctx); err != nil {
				t.Error(err)
			}
		}, ErrExists},
		{"close", func(_ *testing.T, p *Part, _ func()) { p.Close() }, nil},
		{"discard", func(_ *testing.T, p *Part, _ func()) { p.Discard() }, nil},
		{"cancel", func(_ *testing.T, _ *Part, cancel func()) { cancel() }, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			warned := make(chan string, 1)
			s := open(t, t.TempDir(), Options{Warn: func(m string) { warned <- m }})
			s.warnAfter = 20 * time.Millisecond
			p := begin(t, s, data)
			write(t, p, data, Range{0, 10})
			done := make(chan error, 1)
			waits, cancel := context.WithCancel(ctx)
			defer cancel()
			var second *Part
			go func() {
				var err error
				second, err = s.Begin(waits, digest.FromBytes(data), 1000)
				done <- err
			}()
			if m, want := <-warned, s.path("locks/"+partName(digest.FromBytes(data))); m != "waiting for another process, which has "+want+" locked" {
				t.Errorf("warning %q", m)
			}
			select {
			case err := <-done:
				t.Fatalf("did not wait: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
			c.end(t, p, cancel)
			if err := <-done; !errors.Is(err, c.err) {
				t.Fatalf("Begin: %v, want %v", err, c.err)
			}
			if c.err == nil {
				if want := c.name == "close"; second.Resumed() != want {
					t.Errorf("resumed %v", second.Resumed())
				}
				second.Discard()
			}
			p.Close()
			if c.name != "cancel" {
				wantClean(t, s.Dir())
			}
		})
	}
}

// TestFill has many want one small blob: one of them fetches it.
func TestFill(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	data := content(1, 1000)
	d := digest.FromBytes(data)
	lost := errors.New("connection lost")
	if err := s.Fill(ctx, d, func() ([]byte, error) { return nil, lost }); err != lost {
		t.Errorf("an error of fetch: %v", err)
	}
	if err := s.Fill(ctx, d, func() ([]byte, error) { return data[1:], nil }); !errors.Is(err, ErrMismatch) {
		t.Errorf("another blob: %v", err)
	}
	p := begin(t, s, data)
	write(t, p, data, Range{0, 1000})
	p.Close() // as if it had been killed
	if err := s.Fill(ctx, d, func() ([]byte, error) { return nil, lost }); !errors.Is(err, ErrExists) {
		t.Errorf("what was left: %v", err)
	}
	wantBlob(t, s, data)
	s = open(t, t.TempDir(), Options{})
	var wg sync.WaitGroup
	var fetched, found atomic.Int32
	for range 8 {
		wg.Go(func() {
			err := s.Fill(ctx, d, func() ([]byte, error) {
				fetched.Add(1)
				return data, nil
			})
			if errors.Is(err, ErrExists) {
				found.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if fetched.Load() != 1 || found.Load() != 7 {
		t.Errorf("%d fetched it, %d found it", fetched.Load(), found.Load())
	}
	wantBlob(t, s, data)
	wantClean(t, s.Dir())
}

// TestLockFileRemoved has many take one lock whose file comes and goes.
func TestLockFileRemoved(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	var wg sync.WaitGroup
	var inside atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				l, err := s.tryLock("x")
				for errors.Is(err, errBusy) {
					l, err = s.tryLock("x")
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				runtime.Gosched()
				inside.Add(-1)
				l.release((i+j)%2 == 0)
			}
		})
	}
	wg.Wait()
}

// TestCacheRemoved removes all of the cache while it is used.
func TestCacheRemoved(t *testing.T) {
	s := open(t, t.TempDir()+"/cache", Options{})
	data := content(1, 1000)
	put(t, s, data)
	b, err := s.Blob(t.Context(), digest.FromBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := begin(t, s, content(2, 1000))
	write(t, p, content(2, 1000), Range{0, 1000})
	if err := os.RemoveAll(s.Dir()); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the blob that was open: %v", err)
	}
	wantMiss(t, s, digest.FromBytes(data))
	if err := p.Commit(ctx); !errors.Is(err, ErrStore) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Commit: %v", err)
	}
	if _, err := s.Begin(ctx, digest.FromBytes(data), 1000); !errors.Is(err, ErrStore) {
		t.Errorf("Begin: %v", err)
	}
}

// TestPartShrinks: if another process truncates a part while it is read, the reader does
// not take that for the end.
func TestPartShrinks(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	data := content(1, 1000)
	p := begin(t, s, data)
	defer p.Discard()
	write(t, p, data, Range{0, 1000})
	r, err := p.NewReader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(s.path(p.partFile()), 400); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 400 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
