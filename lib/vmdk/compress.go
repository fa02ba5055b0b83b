package vmdk

import (
	"bytes"
	"context"
	"io"
	"runtime"

	"github.com/klauspost/compress/zlib"
	"golang.org/x/sync/errgroup"
)

// DefaultLevel is the level of compression where none is given.
const DefaultLevel = 6

const maxWorkers = 256 // each has 1 MiB or so

// packed is a grain on its way from the source to the output.
type packed struct {
	number int64
	data   []byte
	out    bytes.Buffer // a marker and compressed data in whole sectors
}

// compress hands each grain of src that is not all zeros, compressed, to put, in order.
// Workers share the work. Each grain is compressed by itself, so the result does not
// depend on them. The first error stops the others and src; so does the end of ctx,
// whose cause compress then returns. When it returns nothing runs any more.
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
	compressors chan *zlib.Writer // those that are idle; nil: to be made
}

// read starts a goroutine for each grain of src that is not all zeros.
func (c *compression) read(src grains) error {
	turn := make(chan struct{}) // closed once all grains before have been put
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

// pack compresses p, and puts it when it is its turn.
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

// stopWith stops src once ctx is done. What it returns waits until that has happened.
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

// compress fills p.out. It returns z, or a new compressor if z is nil.
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
