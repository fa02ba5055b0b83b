package erofs

import (
	"bytes"
	"io"
	"sync"
	"testing"

	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// zeroFile is an output past all sizes that keeps what is not zero.
type zeroFile struct {
	mu     sync.Mutex
	blocks map[int64][]byte
	size   int64
}

func (z *zeroFile) WriteAt(p []byte, off int64) (int, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for i := 0; i < len(p); {
		at, in := (off+int64(i))/4096, int((off+int64(i))%4096)
		n := min(len(p)-i, 4096-in)
		if bytes.Count(p[i:i+n], []byte{0}) < n || z.blocks[at] != nil {
			if z.blocks[at] == nil {
				z.blocks[at] = make([]byte, 4096)
			}
			copy(z.blocks[at][in:], p[i:i+n])
		}
		i += n
	}
	z.size = max(z.size, off+int64(len(p)))
	return len(p), nil
}

func (z *zeroFile) ReadAt(p []byte, off int64) (int, error) {
	for i := 0; i < len(p); {
		at, in := (off+int64(i))/4096, int((off+int64(i))%4096)
		n := min(len(p)-i, 4096-in)
		clear(p[i : i+n])
		if b := z.blocks[at]; b != nil {
			copy(p[i:i+n], b[in:])
		}
		i += n
	}
	return len(p), nil
}

// manyZeros is content of so many bytes, all but the first and the last zero.
type manyZeros int64

func (n manyZeros) WriteTo(w io.Writer) (int64, error) {
	b := make([]byte, 1<<20)
	for off := int64(0); off < int64(n); off += int64(len(b)) {
		b = b[:min(int64(len(b)), int64(n)-off)]
		b[0], b[len(b)-1] = 0, 0
		if off == 0 {
			b[0] = 1
		}
		if off+int64(len(b)) == int64(n) {
			b[len(b)-1] = 2
		}
		if _, err := w.Write(b); err != nil {
			return off, err
		}
	}
	return int64(n), nil
}

func TestPast4GiB(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 4 GiB into memory that is not there")
	}
	const size = 4<<30 + 5
	z := &zeroFile{blocks: make(map[int64][]byte)}
	es := []tree.Entry{
		{Path: "large", Type: tree.File, Size: size, Content: manyZeros(size)},
		file("behind", pattern(1, 5000)),
		sparse("sparse", 1<<45, []tree.Extent{{Off: 1 << 44, Len: 10}}),
	}
	if err := writeTo(z, Options{UUID: new([16]byte)}, es); err != nil {
		t.Fatal(err)
	}
	img, err := read.Open(z, z.size)
	if err != nil {
		t.Fatal(err)
	}
	files := list(t, img.Source())
	var b [6]byte
	e := files["large"]
	if _, err := e.Content.(io.ReaderAt).ReadAt(b[:], size-6); err != io.EOF && err != nil || e.Size != size || b != [6]byte{5: 2} {
		t.Errorf("size %d, end %v, %v", e.Size, b, err)
	}
	e = files["behind"]
	if _, err := e.Content.(io.ReaderAt).ReadAt(b[:], 0); err != nil || !bytes.Equal(b[:], pattern(1, 6)) {
		t.Errorf("behind: %v, %v", b, err)
	}
	if e = files["sparse"]; e.Size != 1<<45 || e.DataSize() > 64<<20 {
		t.Errorf("sparse: %d bytes, %d of data", e.Size, e.DataSize())
	}
}
