package cas

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestSpool: a part without a cache is read and verified like one with it.
func TestSpool(t *testing.T) {
	data := bytes.Repeat([]byte("spool"), 100_000)
	for _, c := range []struct {
		name string
		want digest.Digest
		err  error
	}{{"right", digest.FromBytes(data), nil}, {"wrong", digest.FromString("x"), ErrMismatch}} {
		p, err := Spool(t.TempDir(), c.want, int64(len(data)))
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
