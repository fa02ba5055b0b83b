package blockio

import (
	"io"
	"sync/atomic"
)

// Ahead reads another reader in a goroutine of its own, a few large buffers
// ahead, and lets a third goroutine see every byte on the way, to hash it.
type Ahead struct {
	free chan *aheadBuf
	full chan *aheadBuf // to Read; closed at the end
	seen chan struct{}  // closed when tap has had everything
	stop chan struct{}
	cur  *aheadBuf
	pos  int
	err  error // what ended the reader; valid once full is closed
}

type aheadBuf struct {
	data []byte
	refs atomic.Int32 // Read and the tap
}

const (
	aheadSize  = 512 << 10
	aheadCount = 6
)

// NewAhead starts to read r. The tap, unless it is nil, is given every byte in
// order; its errors are ignored. Only Close may be called while r blocks; the
// goroutine then ends when r returns.
func NewAhead(r io.Reader, tap io.Writer) *Ahead {
	a := &Ahead{
		free: make(chan *aheadBuf, aheadCount),
		full: make(chan *aheadBuf, aheadCount),
		seen: make(chan struct{}),
		stop: make(chan struct{}),
	}
	for range aheadCount {
		a.free <- &aheadBuf{}
	}
	var tapped chan *aheadBuf
	if tap == nil {
		close(a.seen)
	} else {
		tapped = make(chan *aheadBuf, aheadCount)
		go a.feed(tap, tapped)
	}
	go a.fill(r, tapped)
	return a
}

// fill reads r until it ends or Close is called.
func (a *Ahead) fill(r io.Reader, tapped chan<- *aheadBuf) {
	defer close(a.full)
	if tapped != nil {
		defer close(tapped)
	}
	for a.err == nil {
		var b *aheadBuf
		select {
		case b = <-a.free:
		case <-a.stop:
			a.err = io.ErrClosedPipe
			return
		}
		if b.data == nil {
			b.data = make([]byte, aheadSize)
		}
		var n int
		n, a.err = readSome(r, b.data[:aheadSize])
		b.data = b.data[:n]
		b.refs.Store(1)
		if tapped != nil {
			b.refs.Store(2)
			tapped <- b
		}
		a.full <- b
	}
}

// readSome fills p, but for the end of r or an error, so that buffers travel full.
func readSome(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

func (a *Ahead) feed(tap io.Writer, tapped <-chan *aheadBuf) {
	defer close(a.seen)
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

// Read returns the next bytes, and what ended the reader behind the last. It
// returns io.EOF only after the tap has seen everything.
func (a *Ahead) Read(p []byte) (int, error) {
	for a.cur == nil || a.pos == len(a.cur.data) {
		if a.cur != nil {
			a.release(a.cur)
			a.cur = nil
		}
		b, ok := <-a.full
		if !ok {
			<-a.seen
			return 0, a.err
		}
		a.cur, a.pos = b, 0
	}
	n := copy(p, a.cur.data[a.pos:])
	a.pos += n
	return n, nil
}

// Close ends the goroutines, as soon as the reader below returns from the call
// that it is in.
func (a *Ahead) Close() error {
	close(a.stop)
	return nil
}
