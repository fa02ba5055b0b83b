package vmdk

import (
	"context"
	"fmt"
	"io"
	"os"

	"ocipipe/lib/blockio"
)

// WriteFile writes the disk to f, which is empty. It keeps the holes of the extents, and
// shares blocks with them where the file system can. It ends with the cause of ctx once that
// is done.
func (d *Disk) WriteFile(ctx context.Context, f *os.File) error {
	for _, e := range d.extents {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.file == nil {
			if err := blockio.CopyAt(ctx, f, e.start, e.data, 0, e.size); err != nil {
				return fmt.Errorf("copy %s: %w", e.path, err)
			}
		} else if err := blockio.CopySparse(ctx, f, e.start, e.file, e.size); err != nil {
			return fmt.Errorf("copy %s: %w", e.path, err)
		}
	}
	return f.Truncate(d.size)
}

// WriteRaw writes the disk to w from its beginning to its end, holes as zeros. When ctx is
// done, WriteRaw returns its cause.
func (d *Disk) WriteRaw(ctx context.Context, w io.Writer) error {
	buf := make([]byte, 1<<20)
	for n := int64(0); n < d.size; {
		from, end, err := d.nextData(n)
		if err != nil {
			return err
		}
		if from > n {
			clear(buf)
		}
		for n < end {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p := buf[:min(int64(len(buf)), end-n)]
			if n < from {
				p = buf[:min(int64(len(buf)), from-n)]
			} else if err := d.readAt(p, n); err != nil {
				return err
			}
			if _, err := w.Write(p); err != nil {
				return err
			}
			n += int64(len(p))
		}
	}
	return nil
}
