package archive

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// piece is data of a file.
type piece struct {
	off  int64
	data []byte
	err  error
}

// pieces reads the runs of a file in order, ahead of who takes them.
type pieces struct {
	ctx  context.Context
	stop context.CancelFunc
	full chan piece
	idle chan []byte
	done chan struct{}
}

func newPieces(ctx context.Context, r io.ReaderAt, runs []Run) *pieces {
	p := &pieces{full: make(chan piece, 2), idle: make(chan []byte, 3), done: make(chan struct{})}
	p.ctx, p.stop = context.WithCancel(ctx)
	for range cap(p.idle) {
		p.idle <- nil
	}
	go func() {
		defer close(p.done)
		p.read(r, runs)
	}()
	return p
}

func (p *pieces) read(r io.ReaderAt, runs []Run) {
	for _, run := range runs {
		for off, end := run.Off, run.Off+run.Len; off < end; {
			var buf []byte
			select {
			case buf = <-p.idle:
			case <-p.ctx.Done():
				return
			}
			n := min(end-off, pieceSize)
			if int64(cap(buf)) < n {
				buf = make([]byte, n)
			}
			next := piece{off: off, data: buf[:n]}
			if k, err := r.ReadAt(next.data, off); int64(k) < n {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				next.err = fmt.Errorf("byte %d: %w", off+int64(k), err)
			}
			p.full <- next // has room
			if next.err != nil {
				return
			}
			off += n
		}
	}
	close(p.full)
}

// next returns the next piece, io.EOF after the last.
func (p *pieces) next() (piece, error) {
	select {
	case next, ok := <-p.full:
		if !ok {
			return piece{}, io.EOF
		}
		return next, next.err
	case <-p.ctx.Done():
		return piece{}, context.Cause(p.ctx)
	}
}

// free gives the memory of a piece back.
func (p *pieces) free(used piece) { p.idle <- used.data }

// close stops reading, and waits for it.
func (p *pieces) close() {
	p.stop()
	<-p.done
}

// mapUnit is what the runs of a map begin and end at a multiple of: that of a page.
const mapUnit = 4096

// Map returns the runs that an archive has for a file of size bytes with the data, which
// ascends: whole pages, at most MaxRuns, and an empty one at the end if a hole is there.
// Where there would be more, the smallest holes are filled. It is nil if all is data.
func Map(data []Run, size int64) []Run { return MapLimit(data, size, MaxRuns) }

// MapLimit is Map for at most limit runs, which is 2 to MaxRuns.
func MapLimit(data []Run, size int64, limit int) []Run {
	var runs []Run
	for _, d := range data {
		from, end := d.Off&^(mapUnit-1), min(size, (d.Off+d.Len+mapUnit-1)&^(mapUnit-1))
		if k := len(runs) - 1; k >= 0 && runs[k].Off+runs[k].Len >= from {
			runs[k].Len = max(runs[k].Off+runs[k].Len, end) - runs[k].Off
		} else if d.Len > 0 {
			runs = append(runs, Run{from, end - from})
		}
	}
	runs = fillHoles(runs, limit-1)
	switch k := len(runs) - 1; {
	case size == 0, k == 0 && runs[0] == Run{0, size}:
		return nil
	case k < 0 || runs[k].Off+runs[k].Len < size:
		runs = append(runs, Run{size, 0})
	}
	return runs
}

// fillHoles joins the runs that are nearest to each other, until there are at most limit.
func fillHoles(runs []Run, limit int) []Run {
	for gap := int64(mapUnit); len(runs) > limit; gap *= 2 {
		joined := runs[:1]
		for i, r := range runs[1:] {
			last := &joined[len(joined)-1]
			hole := r.Off - last.Off - last.Len
			left := len(runs) - 1 - i
			if hole <= gap && len(joined)+left > limit {
				last.Len = r.Off + r.Len - last.Off
			} else {
				joined = append(joined, r)
			}
		}
		runs = slices.Clip(joined)
	}
	return runs
}
