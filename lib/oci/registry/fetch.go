package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Span is the bytes of a blob from Off up to but not including End.
type Span struct{ Off, End int64 }

// The sizes, in bytes, of the pieces of a blob that several connections fetch at once.
// Pieces are small enough that a reader of the beginning gets it soon, and that the last
// pieces end together.
const (
	minPiece   = 1 << 20
	maxPiece   = 16 << 20
	chunkSize  = 256 << 10 // of writes
	perConnect = 4         // pieces for each connection, if they are not too small
)

// Fetch fetches the missing bytes of b, whose size must be known, in several ranges at once
// if the registry sends ranges. It passes each byte to write once, from several goroutines.
// An error of write ends the fetch and is returned as it is. After another error the bytes
// that were written can be kept: call Fetch again for the rest.
func (r *Repository) Fetch(ctx context.Context, b Blob, missing []Span, write func(p []byte, off int64) error, notify func(Retry)) error {
	total := int64(0)
	for _, m := range missing {
		total += m.End - m.Off
	}
	if total == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &fetch{r: r, ctx: ctx, b: b, write: write, notify: notify, workers: 1, stop: cancel, todo: slices.Clone(missing)}
	f.pieceSize = min(max(total/int64(cap(r.c.slots)*perConnect), minPiece), maxPiece)
	if cap(r.c.slots) == 1 {
		f.pieceSize = total
	}
	f.split = f.pieces() > 1
	f.work(true)
	f.end()
	f.others.Wait()
	if f.err == nil && len(f.todo) > 0 { // put back by workers that could not get it
		f.work(true)
	}
	return f.err
}

// fetch is one call of Fetch.
type fetch struct {
	r         *Repository
	ctx       context.Context
	b         Blob
	write     func(p []byte, off int64) error
	notify    func(Retry)
	stop      context.CancelCauseFunc
	others    sync.WaitGroup
	pieceSize int64 // the greatest size of a piece, in bytes
	split     bool  // there are several pieces, so that ranges are worth asking for

	mu      sync.Mutex
	todo    []Span      // in order; takePiece cuts pieces off
	joining *time.Timer // runs join; nil until the server has sent a range
	over    bool        // no worker may join any more
	workers int
	noRange bool // the server sends all or nothing
	err     error
}

// takePiece returns the next piece.
func (f *fetch) takePiece(first bool) (s Span, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || len(f.todo) == 0 || f.noRange && !first {
		return s, false
	}
	s = f.todo[0]
	if s.End-s.Off > f.pieceSize {
		s.End = s.Off + f.pieceSize
		f.todo[0].Off = s.End
	} else {
		f.todo = f.todo[1:]
	}
	return s, true
}

// pieces returns how many pieces are left.
func (f *fetch) pieces() (n int64) {
	for _, s := range f.todo {
		n += (s.End-s.Off-1)/f.pieceSize + 1
	}
	return n
}

// putBack returns what is left of a piece.
func (f *fetch) putBack(s Span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := slices.IndexFunc(f.todo, func(t Span) bool { return t.Off > s.Off })
	if at < 0 {
		at = len(f.todo)
	}
	f.todo = slices.Insert(f.todo, at, s)
}

func (f *fetch) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.stop(err)
}

// joinAfter is how long a blob has one connection only. If it is nearly complete by then,
// more connections gain nothing.
const joinAfter = 200 * time.Millisecond

// ranged notes whether the server sends ranges. If it does, other workers join after
// joinAfter.
func (f *fetch) ranged(yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !yes:
		f.noRange = true
	case f.joining == nil:
		f.joining = time.AfterFunc(f.r.c.joinAfter, f.join)
	}
}

func (f *fetch) join() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || f.noRange {
		return
	}
	n := int(min(int64(cap(f.r.c.slots)), f.pieces()+int64(f.workers)))
	for ; f.workers < n; f.workers++ {
		f.others.Add(1)
		go func() {
			defer f.others.Done()
			f.work(false)
		}()
	}
}

// end keeps other workers from joining.
func (f *fetch) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	if f.joining != nil {
		f.joining.Stop()
	}
}

func (f *fetch) asksForRanges() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.noRange
}

// work fetches pieces until none are left. If the server sends no ranges, the first worker
// goes on and the others end.
func (f *fetch) work(first bool) {
	buf := make([]byte, chunkSize)
	tries := attempts{c: f.r.c, notify: f.notify}
	var in *incoming
	defer func() { in.close() }()
	for {
		s, ok := f.takePiece(first)
		if !ok {
			return
		}
		for s.Off < s.End {
			err := f.piece(&in, &s, buf, first, &tries)
			if err == nil {
				continue
			}
			in.close()
			in = nil
			if !first && !f.asksForRanges() {
				f.putBack(s)
				return
			}
			if errors.Is(err, errRange) {
				continue // next time without asking for a range
			}
			if err := tries.again(f.ctx, err); err != nil {
				f.fail(err)
				return
			}
		}
		if in != nil && in.ranged && in.pos >= in.end {
			in.close()
			in = nil
		}
	}
}

// writeError is an error of the function that takes the bytes.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// piece writes s. If in does not reach s, piece makes a new request.
func (f *fetch) piece(in **incoming, s *Span, buf []byte, first bool, tries *attempts) error {
	if *in == nil || (*in).pos > s.Off || (*in).end >= 0 && (*in).end <= s.Off {
		(*in).close()
		*in = nil
		if err := f.open(in, *s, first); err != nil {
			return err
		}
	}
	if err := (*in).skip(s.Off, buf); err != nil {
		return err
	}
	for s.Off < s.End {
		n, err := fill(*in, buf[:min(int64(len(buf)), s.End-s.Off)])
		if n > 0 {
			if werr := f.write(buf[:n], s.Off); werr != nil {
				f.fail(werr)
				return writeError{werr}
			}
			s.Off += int64(n)
			tries.progress(n)
		}
		switch {
		case err == io.EOF && s.Off < s.End && (*in).ranged && n > 0:
			return nil // less than was asked for; the caller asks for the rest
		case err == io.EOF && s.Off < s.End:
			return &Error{Err: fmt.Errorf("%s: %w: %d bytes, the manifest says %d", f.b.Digest, ErrSize, s.Off, f.b.Size)}
		case err != nil && err != io.EOF:
			return err
		}
	}
	return nil // bytes after the last one do not belong to the blob
}

// gatherTime is how long fill gathers the bytes of a slow connection.
const gatherTime = 200 * time.Millisecond

// fill reads until p is full, in ends or fails, or gatherTime has passed.
func fill(in *incoming, p []byte) (n int, err error) {
	for start := time.Now(); n < len(p) && err == nil && (n == 0 || time.Since(start) < gatherTime); {
		var m int
		m, err = in.read(p[n:])
		n += m
	}
	return n, err
}

// open waits for a slot and asks for s, or for the whole blob if the server sends no
// ranges.
func (f *fetch) open(in **incoming, s Span, first bool) error {
	if err := f.r.c.acquire(f.ctx); err != nil {
		return err
	}
	asRange := f.asksForRanges() && (f.split || s.Off > 0)
	end := s.End
	if !f.split {
		end = -1
	}
	got, err := f.r.open(f.ctx, f.b, s.Off, end, asRange)
	if err != nil {
		f.r.c.release()
		if errors.Is(err, errRange) {
			if !asRange {
				return &Error{Err: fmt.Errorf("%w: %v", ErrProtocol, err)}
			}
			f.ranged(false)
		}
		return err
	}
	got.release = f.r.c.release
	*in = got
	if asRange && f.split {
		f.ranged(got.ranged)
		if !got.ranged && !first {
			return errRange // the first worker fetches the whole blob
		}
	}
	return nil
}
