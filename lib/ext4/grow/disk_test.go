package grow

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ocipipe/lib/blockio"
	"ocipipe/lib/ext4/disk"
)

// loggedDisk is a sparse disk in memory that remembers what was done to it.
type loggedDisk struct {
	size   int64
	blocks map[int64][]byte // by number
	ops    []diskOp
	fail   int // operation that fails, counted from 1, and all after it; 0: none
}

// diskOp is a write, or else a sync, or else a truncation to size.
type diskOp struct {
	data []byte
	off  int64
	sync bool
	size int64
}

var errFull = errors.New("no space left on device")

// loadDisk reads an image.
func loadDisk(t testing.TB, image string) *loggedDisk {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	d := &loggedDisk{size: fi.Size(), blocks: make(map[int64][]byte)}
	for at := int64(0); at < d.size; {
		from, end, err := blockio.NextData(f, at, d.size)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, end-from)
		if _, err := f.ReadAt(b, from); err != nil {
			t.Fatal(err)
		}
		d.put(b, from)
		at = end
	}
	return d
}

// save writes the disk to a new file.
func (d *loggedDisk) save(t testing.TB) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.ext4"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(d.size); err != nil {
		t.Fatal(err)
	}
	zero := make([]byte, disk.BlockSize)
	for n, b := range d.blocks {
		if bytes.Equal(b, zero) {
			continue
		}
		if _, err := f.WriteAt(b[:min(int64(len(b)), d.size-n*disk.BlockSize)], n*disk.BlockSize); err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// clone is a copy without memory of the past.
func (d *loggedDisk) clone() *loggedDisk {
	c := &loggedDisk{size: d.size, blocks: make(map[int64][]byte)}
	for n, b := range d.blocks {
		c.blocks[n] = slices.Clone(b)
	}
	return c
}

func (d *loggedDisk) equal(o *loggedDisk) bool {
	zero := make([]byte, disk.BlockSize)
	same := func(a, b *loggedDisk) bool {
		for n, x := range a.blocks {
			y := b.blocks[n]
			if y == nil {
				y = zero
			}
			if !slices.Equal(x, y) {
				return false
			}
		}
		return true
	}
	return d.size == o.size && same(d, o) && same(o, d)
}

func (d *loggedDisk) put(p []byte, off int64) {
	for len(p) > 0 {
		n, skip := off/disk.BlockSize, off%disk.BlockSize
		b := d.blocks[n]
		if b == nil {
			b = make([]byte, disk.BlockSize)
			d.blocks[n] = b
		}
		k := copy(b[skip:], p)
		p, off = p[k:], off+int64(k)
	}
}

// do carries out an operation of another disk.
func (d *loggedDisk) do(op diskOp) {
	switch {
	case op.data != nil:
		d.put(op.data, op.off)
		d.size = max(d.size, op.off+int64(len(op.data)))
	case !op.sync:
		d.size = op.size
		maps.DeleteFunc(d.blocks, func(n int64, _ []byte) bool { return n*disk.BlockSize >= d.size })
	}
}

func (d *loggedDisk) note(op diskOp) error {
	d.ops = append(d.ops, op)
	if d.fail > 0 && len(d.ops) == d.fail {
		return errFull
	}
	d.do(op)
	return nil
}

func (d *loggedDisk) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < d.size {
		skip := off % disk.BlockSize
		k := int(min(int64(len(p)-n), disk.BlockSize-skip, d.size-off))
		if b := d.blocks[off/disk.BlockSize]; b != nil {
			copy(p[n:n+k], b[skip:])
		} else {
			clear(p[n : n+k])
		}
		n, off = n+k, off+int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *loggedDisk) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > d.size {
		return 0, errors.New("a write behind the end of the disk")
	}
	if err := d.note(diskOp{data: slices.Clone(p), off: off}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (d *loggedDisk) Seek(off int64, whence int) (int64, error) {
	if off != 0 || whence != io.SeekEnd {
		return 0, errors.New("only the size can be asked for")
	}
	return d.size, nil
}

func (d *loggedDisk) Truncate(size int64) error { return d.note(diskOp{size: size}) }
func (d *loggedDisk) Sync() error               { return d.note(diskOp{sync: true}) }
