package cas

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestRoundTrip(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, t.TempDir()+"/a/b", Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	d := digest.FromBytes(data)
	p, err := s.Begin(ctx, d, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.NewReader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	half := len(data) / 2
	p.WriteAt(data[half:], int64(half))
	p.Close()
	if p, err = s.Begin(ctx, d, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	r, _ = p.NewReader(ctx)
	t.Log(p.Have(), p.Missing())
	if _, err := p.WriteAt(data[:half], 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatal(len(got), err)
	}
	r.Close()
	if _, err := s.Begin(ctx, d, 1); err != ErrExists {
		t.Fatal(err)
	}
}
