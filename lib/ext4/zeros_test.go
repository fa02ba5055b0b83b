package ext4

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/tree"
)

// inPieces is content that comes in pieces of n bytes.
type inPieces struct {
	b []byte
	n int
}

func (c inPieces) WriteTo(w io.Writer) (total int64, err error) {
	for rest := c.b; len(rest) > 0 && err == nil; {
		var n int
		n, err = w.Write(rest[:min(len(rest), c.n)])
		rest, total = rest[n:], total+int64(n)
	}
	return total, err
}

// zeroCases are files with blocks of zeros, and where they have data.
func zeroCases() (contents [][]byte, extents [][]tree.Extent) {
	add := func(size int, at []int, xs ...tree.Extent) {
		b := make([]byte, size)
		for _, off := range at {
			b[off] = 'x'
		}
		contents, extents = append(contents, b), append(extents, xs)
	}
	const k = disk.BlockSize
	add(4*k, nil)
	add(4*k+1, nil)
	add(1, nil)
	add(4*k, []int{0}, tree.Extent{Off: 0, Len: k})
	add(4*k, []int{4*k - 1}, tree.Extent{Off: 3 * k, Len: k})
	add(4*k+5, []int{4*k + 4}, tree.Extent{Off: 4 * k, Len: 5})
	add(9*k+5, []int{k + 7, 2 * k, 5*k - 1}, tree.Extent{Off: k, Len: 2 * k}, tree.Extent{Off: 4 * k, Len: k})
	add(40<<20, []int{1 << 20, 30 << 20}, tree.Extent{Off: 1 << 20, Len: k}, tree.Extent{Off: 30 << 20, Len: k})
	return contents, extents
}

// A file with blocks of zeros becomes what a sparse one does that has these left out,
// whatever the pieces in which it comes; or stays as it is.
func TestZeros(t *testing.T) {
	contents, extents := zeroCases()
	none, id := int64(0), [16]byte{1}
	for i, b := range contents {
		var want bytes.Buffer
		sparse := &tree.Entry{Path: "f", Type: tree.File, Mode: 0o644, Size: int64(len(b)), Extents: extents[i]}
		if sparse.Extents == nil {
			sparse.Extents = []tree.Extent{}
		}
		for _, x := range extents[i] {
			want.Write(b[x.Off:x.End()])
		}
		if want.Len() > 0 {
			sparse.Content = ext4test.Text(want.String())
		}
		opts := Options{FreeSpace: &none, Journal: &none, UUID: &id, Check: true}
		m := new(ext4test.Memory)
		if err := writeTo(m, opts, []*tree.Entry{sparse, ext4test.File("g", ext4test.Pattern(1, 5000))}); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1000, disk.BlockSize, 100000, len(b)} {
			f := &tree.Entry{Path: "f", Type: tree.File, Mode: 0o644, Size: int64(len(b)), Content: inPieces{b, n}}
			entries := []*tree.Entry{f, ext4test.File("g", ext4test.Pattern(1, 5000))}
			have := new(ext4test.Memory)
			if err := writeTo(have, opts, entries); err != nil {
				t.Fatal(err)
			}
			if ext4test.Hash(have) != ext4test.Hash(m) {
				t.Errorf("case %d, pieces of %d: another file system", i, n)
			}
		}
		// The same with holes, which are smaller than a block, or begin and end within one.
		for _, hole := range []int{1, 1000, disk.BlockSize + 1, 100000} {
			f := &tree.Entry{Path: "f", Type: tree.File, Mode: 0o644, Size: int64(len(b)), Extents: []tree.Extent{}}
			var data []byte
			for at, zeros := 0, 0; at < len(b); at++ {
				if b[at] != 0 {
					zeros = 0
				} else if zeros++; zeros <= hole {
					continue // the zeros that come first are left out
				}
				if n := len(f.Extents); n > 0 && f.Extents[n-1].End() == int64(at) {
					f.Extents[n-1].Len++
				} else {
					f.Extents = append(f.Extents, tree.Extent{Off: int64(at), Len: 1})
				}
				data = append(data, b[at])
			}
			if len(data) > 0 {
				f.Content = inPieces{data, 3000}
			}
			have := new(ext4test.Memory)
			if err := writeTo(have, opts, []*tree.Entry{f, ext4test.File("g", ext4test.Pattern(1, 5000))}); err != nil {
				t.Fatal(err)
			}
			if ext4test.Hash(have) != ext4test.Hash(m) {
				t.Errorf("case %d, holes of %d bytes: another file system", i, hole)
			}
		}
		opts.KeepZeros = true
		kept := new(ext4test.Memory)
		f := &tree.Entry{Path: "f", Type: tree.File, Mode: 0o644, Size: int64(len(b)), Content: inPieces{b, 5000}}
		if err := writeTo(kept, opts, []*tree.Entry{f}); err != nil {
			t.Fatal(err)
		}
		if ino := probetest.InodeIn(t, kept, "f"); int64(ino.Blocks)*512 < f.Size {
			t.Errorf("case %d: %d sectors of %d bytes", i, ino.Blocks, f.Size)
		}
	}
}

// What is left out needs no room: on a disk smaller than the file.
func TestZerosFit(t *testing.T) {
	large := func() *tree.Entry {
		return &tree.Entry{Path: "large", Type: tree.File, Size: 300 << 20, Content: zeroContent(300 << 20)}
	}
	m := new(ext4test.Memory)
	if err := writeTo(m, Options{Upper: true, Size: MinUpper, Check: true}, []*tree.Entry{large(), ext4test.File("behind", ext4test.Pattern(1, 1<<20)), large()}); err != nil {
		t.Fatal(err)
	}
	if err := writeTo(new(ext4test.Memory), Options{Upper: true, Size: MinUpper, KeepZeros: true}, []*tree.Entry{large()}); err == nil {
		t.Error("zeros that are kept fit too")
	}
}

// TestInteropZeros: the kernel shows the same bytes, and the holes.
func TestInteropZeros(t *testing.T) {
	contents, extents := zeroCases()
	for i, b := range contents {
		image := imageFile(t, Options{Check: true}, tree.Entry{Path: "f", Type: tree.File, Mode: 0o644, Size: int64(len(b)), Content: inPieces{b, 70000}})
		ext4test.WriteMounted(t, image, func(dir string) {
			name := filepath.Join(dir, "f")
			var st unix.Stat_t
			if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, b) {
				t.Errorf("case %d: other content, %v", i, err)
			}
			want := (&tree.Entry{Type: tree.File, Extents: append([]tree.Extent{}, extents[i]...)}).DataSize()
			if err := unix.Stat(name, &st); err != nil || st.Blocks*512 != roundUp(want) {
				t.Errorf("case %d: %d sectors, %v", i, st.Blocks, err)
			}
		})
	}
}
