package pull

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

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	fake "ocipipe/lib/reftest/registry"
)

// placedFile is a file that layers may be written to by themselves.
type placedFile struct {
	*os.File
	skipped int64
}

func (f *placedFile) Place() (*os.File, int64) {
	off, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, 0
	}
	return f.File, off
}

func (f *placedFile) Skip(n int64) error {
	f.skipped += n
	_, err := f.Seek(n, io.SeekCurrent)
	return err
}

// pullInto is pull into a file at name that has some bytes already.
func (p *puller) pullInto(name, ref string) (_ []byte, skipped int64, err error) {
	p.t.Helper()
	img, err := p.open(context.Background(), ref, cas.Options{})
	must(p.t, err)
	defer img.Close()
	file, err := os.Create(name)
	must(p.t, err)
	defer file.Close()
	f := &placedFile{File: file}
	before := bytes.Repeat([]byte("before"), 1000)
	f.Write(before)
	err = oci.WriteArchive(context.Background(), f, img.Image)
	data, rerr := os.ReadFile(name)
	must(p.t, rerr)
	return bytes.TrimPrefix(data, before), f.skipped, err
}

// TestWriteInPlace: without a cache layers go to their places in a file at once,
// and the archive is the same.
func TestWriteInPlace(t *testing.T) {
	reset := fake.Rule{Match: "/blobs/", Times: 3, Break: "reset", At: 300_000}
	for _, c := range []struct {
		name      string
		behaviour fake.Behaviour
		cached    bool
	}{
		{"as it should be", fake.Behaviour{}, false},
		{"connections break", fake.Behaviour{Rules: []fake.Rule{reset}}, false},
		{"no ranges", fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Range: "ignore"}}}, false},
		{"a cache", fake.Behaviour{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPuller(t)
			big, small := fake.Layer(1, 4<<20), fake.Layer(2, 1<<20)
			p.AddImage("r", "v1", big, small, big)
			want := p.want("r:v1")
			p.Behave(c.behaviour)
			place := int64(len(big) + len(small))
			if p.dir = ""; c.cached {
				p.dir, place = filepath.Join(t.TempDir(), "cache"), 0
			}
			got, skipped, err := p.pullInto(filepath.Join(t.TempDir(), "out"), "r:v1")
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, want %d, or others: %v", len(got), len(want), err)
			}
			if skipped != place {
				t.Errorf("%d bytes came to their place, want %d", skipped, place)
			}
		})
	}
}

func TestWriteInPlaceFails(t *testing.T) {
	p := newPuller(t)
	p.dir = ""
	p.AddImage("r", "v1", fake.Layer(1, 4<<20), fake.Layer(2, 1<<20))
	t.Run("another blob", func(t *testing.T) {
		p.Behave(fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Skip: 1, Flip: 5000}}})
		if _, _, err := p.pullInto(filepath.Join(t.TempDir(), "out"), "r:v1"); !errors.Is(err, oci.ErrCorrupt) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no space", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root mounts")
		}
		p.Behave(fake.Behaviour{})
		dir := t.TempDir()
		must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"))
		defer unix.Unmount(dir, 0)
		p.warned = nil
		if _, _, err := p.pullInto(filepath.Join(dir, "out"), "r:v1"); !errors.Is(err, unix.ENOSPC) || len(p.warned) > 0 {
			t.Errorf("error %v, warned %q", err, p.warned)
		}
	})
	t.Run("cannot be read back", func(t *testing.T) {
		f, err := os.OpenFile(filepath.Join(t.TempDir(), "out"), os.O_CREATE|os.O_WRONLY, 0o666)
		must(t, err)
		defer f.Close()
		data := []byte("what is here")
		desc := manifest.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
		part, err := cas.SpoolAt(f, 0, desc.Digest, desc.Size)
		must(t, err)
		_, err = part.WriteAt(data[5:], 5)
		must(t, err)
		_, err = part.WriteAt(data[:5], 0)
		must(t, err)
		d := download{r: &remote{}, desc: desc, part: part, place: oci.Place{File: f}, inPlace: true}
		if d.finish(ctx, nil); d.inPlace {
			t.Error("passes for verified")
		}
	})
}
