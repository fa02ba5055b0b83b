package vmdk

import (
	"bytes"
	"context"
	"io"
	"runtime"

	"github.com/klauspost/compress/zlib"
	"golang.org/x/sync/errgroup"
)

// DefaultLevel is the level of compression that StreamOptions.Level 0 stands for.
const DefaultLevel = 6

const maxWorkers = 256 // each takes about 1 MiB

// packed is a grain on its way from the source to the output.
type packed struct {
	number int64
	data   []byte
	out    bytes.Buffer // a marker and compressed data in whole sectors
}

// compress compresses each grain of src that is not all zeros and passes it to put, in
// order. Several workers do this; since each grain is compressed by itself, the result
// does not depend on their number. The first error stops all workers and src. So does ctx
// when it is done; compress then returns its cause. When compress returns, no worker runs.
func compress(ctx context.Context, src grains, o StreamOptions, put func(number int64, b []byte) error) error {
	workers := o.Jobs
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = min(workers, maxWorkers)
	c := &compression{
		level:       o.Level,
		put:         put,
		free:        make(chan *packed, 4*workers),
		compressors: make(chan *zlib.Writer, workers),
	}
	if c.level == 0 {
		c.level = DefaultLevel
	}
	for range cap(c.free) {
		c.free <- &packed{data: make([]byte, grainSize)}
	}
	for range workers {
		c.compressors <- nil
	}
	c.group, c.ctx = errgroup.WithContext(ctx)
	defer stopWith(c.ctx, src)()
	c.group.Go(func() error { return c.read(src) })
	err := c.group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) // the source may have failed because it was stopped
	}
	return err
}

// compression is a call of compress.
type compression struct {
	group       *errgroup.Group
	ctx         context.Context
	level       int
	put         func(number int64, b []byte) error
	free        chan *packed      // bounds the grains under way, and so the memory
	compressors chan *zlib.Writer // idle ones; nil is one that has not been made yet
}

// read starts a goroutine for each grain of src that is not all zeros.
func (c *compression) read(src grains) error {
	turn := make(chan struct{}) // closed once all earlier grains have been put
	close(turn)
	for {
		var p *packed
		select {
		case p = <-c.free:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
		number, err := src.next(p.data)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case isZero(p.data):
			c.free <- p
			continue
		}
		p.number = number
		mine, next := turn, make(chan struct{})
		c.group.Go(func() error { return c.pack(p, mine, next) })
		turn = next
	}
}

// pack compresses p and puts it once turn is closed, then closes next.
func (c *compression) pack(p *packed, turn <-chan struct{}, next chan<- struct{}) error {
	z := <-c.compressors
	z, err := p.compress(z, c.level)
	c.compressors <- z
	if err != nil {
		return err
	}
	select {
	case <-turn:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	if err := c.put(p.number, p.out.Bytes()); err != nil {
		return err
	}
	c.free <- p
	close(next)
	return nil
}

// stopWith stops src once ctx is done. The caller calls wait in the end: it returns when
// src either has been stopped or will not be.
func stopWith(ctx context.Context, src grains) (wait func()) {
	stopped := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		src.stop()
		close(stopped)
	})
	return func() {
		if !cancel() {
			<-stopped
		}
	}
}

// compress compresses p.data into p.out. It uses and returns z, or a new compressor if z
// is nil.
func (p *packed) compress(z *zlib.Writer, level int) (*zlib.Writer, error) {
	p.out.Reset()
	p.out.Write(make([]byte, markerHead))
	if z == nil {
		var err error
		if z, err = zlib.NewWriterLevel(nil, level); err != nil {
			return nil, err
		}
	}
	z.Reset(&p.out)
	if _, err := z.Write(p.data); err != nil {
		return z, err
	}
	if err := z.Close(); err != nil {
		return z, err
	}
	size := p.out.Len() - markerHead
	p.out.Write(zeros[:roundUp(int64(p.out.Len()), SectorSize)-int64(p.out.Len())])
	marker{Value: uint64(p.number) * grainSectors, Size: uint32(size)}.encode(p.out.Bytes())
	return z, nil
}

var zeros [grainSize]byte

func isZero(p []byte) bool {
	for len(p) > len(zeros) {
		if !bytes.Equal(p[:len(zeros)], zeros[:]) {
			return false
		}
		p = p[len(zeros):]
	}
	return bytes.Equal(p, zeros[:len(p)])
}
