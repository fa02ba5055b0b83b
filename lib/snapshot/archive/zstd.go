package archive

import (
	"context"
	"encoding/binary"
	"io"
	"math/bits"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// DefaultLevel is the level of compression that WriterOptions.Level 0 stands for.
const DefaultLevel = 3

const (
	// window is how far back the compression looks. msb reads one frame, with a window of at
	// most 8 MiB; it writes 2 MiB.
	window = 2 << 20
	// segmentSize is after how many bytes a segment ends where it can.
	segmentSize = 2 << 20

	inputSize = 256 << 10 // bytes that go to a segment at a time

	// A worker takes about 15 MiB.
	defaultWorkers = 8 // at most
	maxWorkers     = 64
)

// compressor writes one frame of zstd. It compresses segments of the input at a time, each
// by itself, and joins their blocks: the result does not depend on the number of workers.
//
// That is right where a segment uses nothing of those before it. Its matches reach back to
// its own beginning at most, and its first block has its own tables. What is left are the
// last three offsets, which a decoder keeps from block to block, and which a compressor
// expects to be 1, 4 and 8 at the beginning of a frame. So a segment begins with a run of
// equal bytes, which is written as three blocks that make them so (reset). Disks and tars
// have such runs everywhere: in padding. Without one a segment goes on.
type compressor struct {
	ctx   context.Context
	stop  context.CancelFunc
	group *errgroup.Group
	out   io.Writer

	input []byte   // not yet in a segment
	last  *segment // that is being fed
	fed   int      // bytes in it
	slots chan *zstd.Encoder
	idle  chan []byte
	ended bool
}

// input is a piece of the input.
type input struct {
	data   []byte
	pooled bool // whether its memory goes back to idle
}

// segment is a part of the input that is compressed by itself.
type segment struct {
	input chan input
	begin []byte // blocks before those of the compressor
	turn  <-chan struct{}
	done  chan struct{} // closed when all of it was written
}

func newCompressor(ctx context.Context, w io.Writer, o WriterOptions) (*compressor, error) {
	if o.Level == 0 {
		o.Level = DefaultLevel
	}
	if o.Jobs <= 0 {
		o.Jobs = min(runtime.GOMAXPROCS(0), defaultWorkers)
	}
	slots := min(o.Jobs, maxWorkers) + 1 // one waits for its input, or for its turn to write
	c := &compressor{out: w, slots: make(chan *zstd.Encoder, slots), idle: make(chan []byte, slots*segmentSize/inputSize+2)}
	for range cap(c.slots) {
		e, err := zstd.NewWriter(nil, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(o.Level)))
		if err != nil {
			return nil, err
		}
		c.slots <- e
	}
	for range cap(c.idle) {
		c.idle <- nil
	}
	ctx, c.stop = context.WithCancel(ctx)
	c.group, c.ctx = errgroup.WithContext(ctx)
	first := make(chan struct{})
	close(first)
	return c, c.next(frameHeader(), first)
}

// frameHeader is that of a frame of unknown length, without a checksum.
func frameHeader() []byte {
	exponent := byte(bits.TrailingZeros(window) - 10)
	return append(append([]byte(nil), zstdMagic...), 0, exponent<<3)
}

// next begins a segment, with blocks before it.
func (c *compressor) next(begin []byte, turn <-chan struct{}) error {
	var e *zstd.Encoder
	select {
	case e = <-c.slots:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	s := &segment{input: make(chan input, cap(c.idle)), begin: begin, turn: turn, done: make(chan struct{})}
	c.last, c.fed = s, 0
	c.group.Go(func() error { return c.compress(s, e) })
	return nil
}

// Write implements io.Writer.
func (c *compressor) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if c.input == nil {
			select {
			case c.input = <-c.idle:
			case <-c.ctx.Done():
				return n, c.failure()
			}
			if c.input == nil {
				c.input = make([]byte, 0, inputSize)
			}
		}
		k := min(len(p)-n, inputSize-len(c.input))
		c.input = append(c.input, p[n:n+k]...)
		n += k
		if len(c.input) == inputSize {
			if err := c.feed(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// failure ends the work, and returns why it failed.
func (c *compressor) failure() error {
	c.ended = true
	c.stop()
	if err := c.group.Wait(); err != nil {
		return err
	}
	return context.Cause(c.ctx)
}

// feed gives the input to the last segment or, where that has enough and a run allows it,
// ends that and begins another.
func (c *compressor) feed() error {
	data := c.input
	c.input = nil
	if c.fed >= segmentSize {
		if at := findRun(data); at >= 0 {
			c.last.input <- input{data: append([]byte(nil), data[:at]...)}
			close(c.last.input)
			if err := c.next(reset(data[at]), c.last.done); err != nil {
				return c.failure()
			}
			data = data[:copy(data, data[at+resetLen:])]
		}
	}
	c.fed += len(data)
	select {
	case c.last.input <- input{data, true}:
		return nil
	case <-c.ctx.Done():
		return c.failure()
	}
}

// compress compresses a segment, and writes it when it is its turn.
func (c *compressor) compress(s *segment, e *zstd.Encoder) error {
	out := &splice{segment: s, out: c.out}
	if err := out.put(s.begin); err != nil {
		return err
	}
	e.Reset(out)
	for {
		var in input
		var more bool
		select {
		case in, more = <-s.input:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
		if !more {
			break
		}
		if _, err := e.Write(in.data); err != nil {
			return err
		}
		if in.pooled {
			c.idle <- in.data[:0]
		}
	}
	if err := e.Close(); err != nil {
		return err
	}
	select {
	case <-s.turn:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	if err := out.flush(); err != nil {
		return err
	}
	close(s.done)
	c.slots <- e
	return nil
}

// Close writes what is left, and the end of the frame. After an error it does nothing.
func (c *compressor) Close() error {
	if c.ended {
		return nil
	}
	if len(c.input) > 0 {
		if err := c.feed(); err != nil {
			return err
		}
	}
	c.ended = true
	defer c.stop()
	close(c.last.input)
	if err := c.group.Wait(); err != nil {
		return err
	}
	_, err := c.out.Write(lastBlock)
	return err
}

// abort ends the work. After Close it does nothing.
func (c *compressor) abort() {
	if !c.ended {
		c.ended = true
		c.stop()
		c.group.Wait()
	}
}

// findRun returns where resetLen equal bytes begin in p, -1 if nowhere. It may miss a run
// of less than twice that.
func findRun(p []byte) int {
	for i := 0; i+resetLen <= len(p); i += resetLen {
		v := binary.LittleEndian.Uint64(p[i:])
		if v != uint64(byte(v))*0x0101010101010101 {
			continue
		}
		if v == binary.LittleEndian.Uint64(p[i+8:]) && v == binary.LittleEndian.Uint64(p[i+16:]) && v == binary.LittleEndian.Uint64(p[i+24:]) {
			return i
		}
	}
	return -1
}
