package snapshot

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/integrity"
)

const manifest = digest.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")

var image = form06.Image{Ref: "docker.io/library/alpine:3", Manifest: manifest}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + 1)
	}
	return b
}

// makeDisk makes a disk with data at the offsets, and holes elsewhere.
func makeDisk(t testing.TB, size int64, data []byte, at ...int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, off := range at {
		if _, err := f.WriteAt(data, off); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// begin begins a snapshot of a disk, whatever is on it.
func begin(t testing.TB, path string) *Creation {
	t.Helper()
	c, err := Create(CreateOptions{Upper: path, FSType: "none", Image: image, Labels: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pack returns the archive of a snapshot of the disk.
func pack(t testing.TB, path string, o ArchiveOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := begin(t, path).WriteArchive(t.Context(), &b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var plain = ArchiveOptions{WriterOptions: archive.WriterOptions{Plain: true}}

// blocks is how many blocks of 512 bytes a file takes.
func blocks(t testing.TB, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Blocks
}

// list returns the names below dir.
func list(t testing.TB, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func sameFile(t testing.TB, a, b string) {
	t.Helper()
	sum := func(path string) string {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fi, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		root, err := integrity.Root(t.Context(), integrity.File(f, fi.Size()), fi.Size())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(fi.Size(), root)
	}
	if x, y := sum(a), sum(b); x != y {
		t.Errorf("%s is %s, %s is %s", a, x, b, y)
	}
}

// entry is a member of an archive made by hand, with its place in the archive.
type entry struct {
	archive.Member
	kind       string
	data       []byte
	head, body int // offsets in a plain archive
}

// entries reads a plain archive.
func entries(t testing.TB, tar []byte) (all []*entry) {
	t.Helper()
	in := bytes.NewReader(tar)
	r, err := archive.NewReader(t.Context(), in, archive.ReaderOptions{MaxSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	off := 0
	for {
		m, err := r.Next()
		if err != nil {
			break
		}
		e := &entry{Member: *m, head: off}
		e.body = off + 512
		for left := len(m.Runs) - 4; left > 0; left -= 21 {
			e.body += 512
		}
		e.data = tar[e.body : e.body+int(m.Stored)]
		off = e.body + (int(m.Stored)+511)&^511
		name, err := form06.ParseName(m.Name)
		if err != nil {
			t.Fatal(err)
		}
		e.kind = name.Kind
		all = append(all, e)
	}
	return all
}

// archiveOf writes a plain archive of entries.
func archiveOf(t testing.TB, all ...*entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := archive.NewWriter(t.Context(), &out, archive.WriterOptions{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if _, err := w.Add(archive.Content{Name: e.Name, Kind: e.kind, Size: e.Size, Runs: e.Runs, From: e}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// ReadAt reads the file: its runs.
func (e *entry) ReadAt(p []byte, off int64) (int, error) {
	at := int64(0)
	for _, r := range e.Runs {
		if off >= r.Off && off < r.Off+r.Len {
			return copy(p, e.data[at+off-r.Off:]), nil
		}
		at += r.Len
	}
	return copy(p, e.data[off:]), nil
}
