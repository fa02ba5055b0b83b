package blockio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
)

func randomBytes(n int) []byte {
	rng := rand.New(rand.NewPCG(3, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// Peeks and reads of all sizes, across the borders of buffers, give what went in,
// and the tap has had all of it when the end is reported.
func TestAhead(t *testing.T) {
	for _, size := range []int{0, 1, 511, aheadSize - 1, aheadSize, aheadSize + 1, 3*aheadSize + 77} {
		data := randomBytes(size)
		var tapped, got bytes.Buffer
		a := NewAhead(iotest.HalfReader(bytes.NewReader(data)), &tapped)
		rng := rand.New(rand.NewPCG(1, uint64(size)))
		for {
			if rng.IntN(4) == 0 {
				if _, err := io.CopyN(&got, a, int64(rng.IntN(5000))); err != nil {
					break
				}
				continue
			}
			n := 1 + rng.IntN(600)
			b, err := a.Peek(n)
			if err == nil && len(b) != n {
				t.Fatalf("Peek(%d) returned %d bytes", n, len(b))
			}
			again, _ := a.Peek(len(b))
			if !bytes.Equal(b, again) {
				t.Fatal("a second Peek returned other bytes")
			}
			take := len(b)
			if err == nil {
				take = rng.IntN(n + 1)
			}
			got.Write(b[:take])
			a.Discard(take)
			if err != nil {
				break
			}
		}
		if !bytes.Equal(got.Bytes(), data) || !bytes.Equal(tapped.Bytes(), data) {
			t.Errorf("%d bytes: got %d, the tap %d", size, got.Len(), tapped.Len())
		}
		if _, err := a.Peek(1); err != io.EOF {
			t.Errorf("behind the end: %v", err)
		}
		a.Close()
	}
}

func TestAheadError(t *testing.T) {
	broken := errors.New("broken")
	a := NewAhead(io.MultiReader(bytes.NewReader(randomBytes(1000)), iotest.ErrReader(broken)), nil)
	defer a.Close()
	got, err := io.ReadAll(a)
	if len(got) != 1000 || err != broken {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// Close while the reader below is being read, and full buffers wait.
func TestAheadClose(t *testing.T) {
	var tapped bytes.Buffer
	a := NewAhead(endless{}, &tapped)
	if _, err := a.Peek(100); err != nil {
		t.Fatal(err)
	}
	a.Close()
	for { // ends, though the reader below does not
		if _, err := a.Peek(aheadSize); err != nil {
			return
		}
		a.Discard(aheadSize)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestAheadCloseWaits: after Close, also the second one, no goroutine is in Read, and the
// tap gets nothing more. With the race detector any access is seen.
func TestAheadCloseWaits(t *testing.T) {
	for i := range 200 {
		in, tap := &tallied{}, &tallied{}
		a := NewAhead(in, tap)
		for range i % 10 {
			a.Peek(100_000)
			a.Discard(100_000)
		}
		var closers sync.WaitGroup
		for range 2 {
			closers.Go(func() { a.Close() })
		}
		closers.Wait()
		in.n, tap.n = -1, -1
		runtime.Gosched()
		a.Close()
		if in.n != -1 || tap.n != -1 {
			t.Fatalf("read %d, tapped %d", in.n, tap.n)
		}
		for {
			if _, err := a.Peek(aheadSize); err != nil {
				break
			}
			a.Discard(aheadSize)
		}
	}
}

// tallied counts calls, for one goroutine at a time.
type tallied struct{ n int }

func (c *tallied) Read(p []byte) (int, error) {
	c.n++
	runtime.Gosched()
	return len(p), nil
}

func (c *tallied) Write(p []byte) (int, error) {
	c.n++
	runtime.Gosched()
	return len(p), nil
}
