package cas

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

func ownSpool(t *testing.T, d digest.Digest, size int64) (*Part, error) {
	return Spool(t.TempDir(), d, size)
}

// spoolIn is a spool in the middle of a file, and checks in the end that nothing
// else of the file has changed.
func spoolIn(t *testing.T, d digest.Digest, size int64) (*Part, error) {
	const around = 12345
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	x := bytes.Repeat([]byte("x"), around)
	f.WriteAt(x, 0)
	f.WriteAt(x, around+size)
	t.Cleanup(func() {
		got := make([]byte, 2*around+size)
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got[:around], x) || !bytes.Equal(got[around+size:], x) {
			t.Errorf("what is around the spool has changed, %v", err)
		}
		if _, err := f.ReadAt(got[:1], int64(len(got))); err != io.EOF {
			t.Errorf("the file has grown, %v", err)
		}
		f.Close()
	})
	return SpoolAt(f, around, d, size)
}

// TestSpool: a part without a cache is read and verified like one with it.
func TestSpool(t *testing.T) {
	data := bytes.Repeat([]byte("spool"), 100_000)
	for _, c := range []struct {
		name string
		want digest.Digest
		err  error

		spool func(t *testing.T, d digest.Digest, size int64) (*Part, error)
	}{
		{"right", digest.FromBytes(data), nil, ownSpool}, {"wrong", digest.FromString("x"), ErrMismatch, ownSpool},
		{"right, in a file", digest.FromBytes(data), nil, spoolIn}, {"wrong, in a file", digest.FromString("x"), ErrMismatch, spoolIn},
	} {
		p, err := c.spool(t, c.want, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		half := len(data) / 2
		p.WriteAt(data[half:], int64(half))
		p.WriteAt(data[:half], 0)
		if err := p.Commit(context.Background()); !errors.Is(err, c.err) {
			t.Errorf("%s: Commit: %v", c.name, err)
		}
		if c.err != nil {
			continue
		}
		for range 2 { // also after Commit
			r, err := p.NewReader(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
			}
			r.Close()
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := p.NewReader(context.Background()); err == nil {
			t.Error("a closed spool can be read")
		}
	}
}

// TestNext: the bytes in the file where Next says are those that Read returns.
func TestNext(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	p, err := spoolIn(t, digest.FromBytes(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r, err := p.NewReader(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		for _, x := range []Range{{50_000, 60_000}, {0, 50_000}, {60_000, 100_000}} {
			p.WriteAt(data[x.Off:x.End], x.Off)
		}
	}()
	var got []byte
	for i := 0; ; i++ {
		f, off, n, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			n = min(n, 30_000)
			b := make([]byte, n)
			if _, err := f.ReadAt(b, off); err != nil {
				t.Fatal(err)
			}
			got = append(got, b...)
			r.Skip(n)
		} else {
			b := make([]byte, 777)
			n, err := r.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b[:n]...)
		}
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes, want %d, or others", len(got), len(data))
	}
}

// TestFailedWrite: what was hashed but not written is not the blob, whatever is
// written later; and no cache is to blame.
func TestFailedWrite(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	p, err := ownSpool(t, digest.FromBytes(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	good := p.f
	if p.f, err = os.Open("/dev/null"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteAt(data, 0); !errors.Is(err, unix.EBADF) || errors.Is(err, ErrStore) {
		t.Errorf("WriteAt: %v", err)
	}
	p.f.Close()
	p.f = good
	if _, err := p.WriteAt(bytes.Repeat([]byte("x"), len(data)), 0); err != nil {
		t.Errorf("another WriteAt: %v", err)
	}
	if err := p.Commit(context.Background()); !errors.Is(err, unix.EBADF) || errors.Is(err, ErrStore) {
		t.Errorf("Commit: %v", err)
	}
}
