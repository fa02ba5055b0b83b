package vmdk

import (
	"fmt"
	"io"
	"os"

	"ocipipe/lib/blockio"
)

// WriteFile writes the disk to f, which is empty: by sharing blocks with the
// extents, where the file system can, and with their holes.
func (d *Disk) WriteFile(f *os.File) error {
	for _, e := range d.extents {
		if e.file == nil {
			if err := blockio.CopyAt(f, e.start, e.data, 0, e.size); err != nil {
				return fmt.Errorf("copy %s: %w", e.path, err)
			}
		} else if err := blockio.CopySparse(f, e.start, e.file, e.size); err != nil {
			return fmt.Errorf("copy %s: %w", e.path, err)
		}
	}
	return f.Truncate(d.size)
}

// WriteTo writes the disk to w from its beginning to its end, with zeros where
// there are holes.
func (d *Disk) WriteTo(w io.Writer) (n int64, err error) {
	buf := make([]byte, 1<<20)
	for n < d.size {
		from, end, err := d.nextData(n)
		if err != nil {
			return n, err
		}
		if from > n {
			clear(buf)
		}
		for n < end {
			p := buf[:min(int64(len(buf)), end-n)]
			if n < from {
				p = buf[:min(int64(len(buf)), from-n)]
			} else if err := d.readAt(p, n); err != nil {
				return n, err
			}
			k, err := w.Write(p)
			if n += int64(k); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}
