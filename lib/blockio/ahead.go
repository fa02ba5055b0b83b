package blockio

import (
	"io"
	"sync"
	"sync/atomic"
)

// Ahead reads another reader in a goroutine of its own, a few large buffers ahead. A
// further goroutine passes every byte to a tap, such as a hash. Bytes are not copied,
// except by Read, and by Peek if it has to join two buffers.
type Ahead struct {
	free    chan *aheadBuf
	full    chan *aheadBuf // to the consumer; closed at the end
	tapDone chan struct{}  // closed when the tap has every byte
	stop    chan struct{}
	once    sync.Once      // closes stop
	runs    sync.WaitGroup // the goroutines
	err     error          // what ended the reader; valid once full is closed

	cur    *aheadBuf
	pos    int    // in cur
	joined []byte // bytes before those of cur, if Peek needed them in one piece
	join   []byte // the memory of joined
}

type aheadBuf struct {
	mem, data []byte       // data lies in mem
	refs      atomic.Int32 // the consumer and the tap
}

const (
	aheadSize  = 256 << 10
	aheadCount = 8
)

// ChunkReader is a reader that produces its data in the memory of the caller, without a
// copy. ReadChunk gets at least ChunkSize bytes of memory and returns the part of it that
// holds the next data. The caller must not change that part until the next call has
// returned.
type ChunkReader interface {
	ChunkSize() int
	ReadChunk(mem []byte) (data []byte, err error)
}

// NewAhead starts to read r, by ReadChunk if it is a ChunkReader. The tap, unless it is
// nil, gets every byte in order; its errors are ignored. The caller closes the Ahead, which
// does not close r.
func NewAhead(r io.Reader, tap io.Writer) *Ahead {
	a := &Ahead{
		free:    make(chan *aheadBuf, aheadCount),
		full:    make(chan *aheadBuf, aheadCount),
		tapDone: make(chan struct{}),
		stop:    make(chan struct{}),
	}
	for range aheadCount {
		a.free <- &aheadBuf{}
	}
	chunks, ok := r.(ChunkReader)
	if !ok {
		chunks = fullReads{r}
	}
	var tapped chan *aheadBuf
	if tap == nil {
		close(a.tapDone)
	} else {
		tapped = make(chan *aheadBuf, aheadCount)
		a.runs.Go(func() { a.feed(tap, tapped) })
	}
	a.runs.Go(func() { a.fill(chunks, tapped) })
	return a
}

// fill reads r until it ends or Close is called.
func (a *Ahead) fill(r ChunkReader, tapped chan<- *aheadBuf) {
	defer close(a.full)
	if tapped != nil {
		defer close(tapped)
	}
	for a.err == nil {
		var b *aheadBuf
		select {
		case b = <-a.free:
		case <-a.stop:
		}
		if a.stopped() {
			a.err = io.ErrClosedPipe
			return
		}
		if b.mem == nil {
			b.mem = make([]byte, r.ChunkSize())
		}
		b.data, a.err = r.ReadChunk(b.mem)
		b.refs.Store(1)
		if tapped != nil {
			b.refs.Store(2)
			tapped <- b
		}
		a.full <- b
	}
}

func (a *Ahead) stopped() bool {
	select {
	case <-a.stop:
		return true
	default:
		return false
	}
}

// fullReads makes a ChunkReader of any reader.
type fullReads struct{ r io.Reader }

func (fullReads) ChunkSize() int { return aheadSize }

// ReadChunk fills mem unless r ends or fails, so that buffers are full.
func (f fullReads) ReadChunk(mem []byte) (data []byte, err error) {
	n := 0
	for n < len(mem) && err == nil {
		var m int
		m, err = f.r.Read(mem[n:])
		n += m
	}
	return mem[:n], err
}

func (a *Ahead) feed(tap io.Writer, tapped <-chan *aheadBuf) {
	defer close(a.tapDone)
	for b := range tapped {
		tap.Write(b.data)
		a.release(b)
	}
}

func (a *Ahead) release(b *aheadBuf) {
	if b.refs.Add(-1) == 0 {
		a.free <- b
	}
}

// rest returns the bytes that can be had without waiting, in one piece.
func (a *Ahead) rest() []byte {
	switch {
	case len(a.joined) > 0:
		return a.joined
	case a.cur != nil:
		return a.cur.data[a.pos:]
	}
	return nil
}

// Buffered returns the number of bytes that Peek returns without waiting or copying.
func (a *Ahead) Buffered() int { return len(a.rest()) }

// Peek returns the next n bytes without taking them, or fewer and the error that
// ended the reader. It returns io.EOF only after the tap has seen every byte. The bytes
// are valid until the next call of Peek or Read.
func (a *Ahead) Peek(n int) ([]byte, error) {
	for len(a.rest()) < n {
		if err := a.more(n); err != nil {
			return a.rest(), err
		}
	}
	return a.rest()[:n], nil
}

// more makes rest longer. If it has to join buffers, it joins no more than n bytes.
func (a *Ahead) more(n int) error {
	if rest := a.rest(); len(rest) > 0 && len(a.joined) == 0 {
		a.join = append(a.join[:0], rest...)
		a.joined, a.pos = a.join, len(a.cur.data)
	}
	if a.cur == nil || a.pos == len(a.cur.data) {
		if err := a.next(); err != nil {
			return err
		}
	}
	if len(a.joined) > 0 {
		k := min(n-len(a.joined), len(a.cur.data)-a.pos)
		a.joined = append(a.joined, a.cur.data[a.pos:a.pos+k]...)
		a.pos += k
	}
	return nil
}

// next takes the next buffer.
func (a *Ahead) next() error {
	if a.cur != nil {
		a.release(a.cur)
		a.cur = nil
	}
	b, ok := <-a.full
	if !ok {
		<-a.tapDone
		return a.err
	}
	a.cur, a.pos = b, 0
	return nil
}

// Discard takes n bytes, which Peek has just returned.
func (a *Ahead) Discard(n int) (int, error) {
	if len(a.joined) > 0 {
		a.joined = a.joined[n:]
	} else if a.cur != nil {
		a.pos += n
	}
	return n, nil
}

// Read returns the next bytes or, after the last, the error that ended the reader.
func (a *Ahead) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if _, err := a.Peek(1); err != nil {
		return 0, err
	}
	n := copy(p, a.rest())
	return a.Discard(n)
}

// Close ends the goroutines and waits for them: after that nothing reads the reader, and
// the tap gets nothing. It waits for a Read that is running. If that may block, the owner
// of the reader must make it return first, by closing the reader or by its context. Closing
// twice is harmless.
func (a *Ahead) Close() error {
	a.once.Do(func() { close(a.stop) })
	a.runs.Wait()
	return nil
}
