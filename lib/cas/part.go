package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/layout"
	"ocipipe/lib/osfile"
)

// A Part is a blob on its way into the cache. It holds the lock of the blob; the caller
// must end it with Commit, Discard or Close. Its methods may be called from several
// goroutines.
//
// Content arrives in ranges, in any order, each byte once. A goroutine hashes it up to
// the first gap, so that a reader can pass it on while the rest arrives, and Commit has
// little left to do. It hashes content that arrives in order from memory, while that is
// written, and reads the rest back.
type Part struct {
	s       *Store
	digest  digest.Digest
	size    int64
	resumed bool

	f       *os.File
	base    int64 // offset of the content in f
	lasting bool  // f outlives the part, so its pages should reach the disk early
	log     journal
	lock    *held // nil for a spool, as s is

	hashed  chan struct{} // closed when sum is set
	hashErr error         // nil, or why the content is not the blob

	put    chan struct{} // closed when Commit has put the blob, or failed with putErr
	putErr error

	mu      sync.Mutex
	have    ranges        // written
	claimed ranges        // written or being written
	changed chan struct{} // closed, and replaced, when have, fed or over changes
	waiting int64         // offset of the content that the hash waits for; -1 if it does not wait
	fed     *feed         // the content there, for the hash to go on with
	failed  error         // of a write: the file may differ from what was hashed
	over    error         // why the part has ended; nil before that
}

var (
	errCommitted = errors.New("already committed")
	errDiscarded = errors.New("discarded")
)

func partName(d digest.Digest) string { return d.Algorithm().String() + "-" + d.Encoded() }

// Begin waits for the lock of the blob d and takes it. The error is ErrExists if another
// process has put the blob meanwhile; Blob then opens it. Otherwise the part may already
// have ranges, which an earlier process left.
//
// An error that is ErrStore means that the blob cannot be kept here.
func (s *Store) Begin(ctx context.Context, d digest.Digest, size int64) (*Part, error) {
	if err := layout.CheckDigest(d); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, fmt.Errorf("blob %s: size %d", d, size)
	}
	l, err := s.lockMissing(ctx, d)
	if err != nil {
		return nil, err
	}
	return s.startPart(ctx, d, size, l)
}

// lockMissing takes the lock of the blob d. If the cache has the blob, it returns
// ErrExists, and no lock.
func (s *Store) lockMissing(ctx context.Context, d digest.Digest) (*held, error) {
	l, err := s.lock(ctx, partName(d))
	if err != nil {
		return nil, err
	}
	b, err := s.Blob(ctx, d)
	switch {
	case err == nil:
		b.Close()
		l.release(true)
		return nil, ErrExists
	case ctx.Err() != nil:
		l.release(true)
		return nil, context.Cause(ctx)
	}
	return l, nil
}

// startPart starts the part whose lock is l. It releases l if it fails.
func (s *Store) startPart(ctx context.Context, d digest.Digest, size int64, l *held) (*Part, error) {
	p, err := s.openPart(ctx, d, size)
	if err != nil {
		l.release(true)
		return nil, err
	}
	p.lock = l
	go p.hash()
	return p, nil
}

// openPart opens the files of the part of d, whose lock is held.
func (s *Store) openPart(ctx context.Context, d digest.Digest, size int64) (*Part, error) {
	p := &Part{s: s, digest: d, size: size, lasting: true, hashed: make(chan struct{}), put: make(chan struct{}), changed: make(chan struct{})}
	if s.opts.Fresh {
		p.remove()
	}
	err := p.open()
	if errors.Is(err, fs.ErrPermission) { // another user's
		p.remove()
		err = p.open()
	}
	if err != nil {
		return nil, err
	}
	p.have, err = p.log.load(ctx, p.f, size)
	if err == nil {
		err = p.fit()
	}
	if err != nil {
		p.f.Close()
		p.log.f.Close()
		if len(p.have) == 0 && errors.Is(err, ErrStore) {
			p.remove()
		}
		return nil, err
	}
	p.claimed = slices.Clone(p.have)
	p.resumed = len(p.have) > 0
	return p, nil
}

func (p *Part) partFile() string    { return "tmp/" + partName(p.digest) + ".part" }
func (p *Part) journalFile() string { return "tmp/" + partName(p.digest) + ".ranges" }

func (p *Part) open() (err error) {
	if p.f, err = p.s.openFile(p.partFile(), os.O_RDWR); err != nil {
		return err
	}
	if p.log.f, err = p.s.openFile(p.journalFile(), os.O_RDWR|os.O_APPEND); err != nil {
		p.f.Close()
	}
	return err
}

// remove removes the files, the journal last: alone it means nothing.
func (p *Part) remove() {
	if p.isSpool() {
		return
	}
	os.Remove(p.s.path(p.partFile()))
	os.Remove(p.s.path(p.journalFile()))
}

// fit cuts the file off at the size of the blob, and checks that the disk has room for the
// missing ranges.
func (p *Part) fit() error {
	info, err := p.f.Stat()
	if err == nil && info.Size() > p.size {
		err = p.f.Truncate(p.size)
	}
	if err != nil {
		return storeError(err)
	}
	need := int64(0)
	for _, x := range p.have.missing(p.size) {
		need += x.End - x.Off
	}
	if free, ok := osfile.FreeSpace(p.f); ok && need > free {
		return storeError(fmt.Errorf("%s: blob of %d bytes: %w", p.f.Name(), p.size, syscall.ENOSPC))
	}
	return nil
}

// Resumed reports whether an earlier process left some of the content. If it did and Commit
// returns ErrMismatch, that content may be to blame, not the source.
func (p *Part) Resumed() bool { return p.resumed }

// Missing returns the ranges that have not been written, in order.
func (p *Part) Missing() []Range {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.have.missing(p.size)
}

// feed is content for the hash, straight from the memory of the writer.
type feed struct {
	data []byte
	done chan struct{}
}

// WriteAt writes a range of the content. Once WriteAt has returned, the range survives the
// process. Each byte can be written once: it is an error if part of b has been written or
// is being written. Each call adds a line to the journal, so b should have 64 KiB or more.
// After an error the part cannot become the blob.
func (p *Part) WriteAt(b []byte, off int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	x := Range{off, off + int64(len(b))}
	fed, err := p.claim(x, b)
	if err != nil {
		return 0, err
	}
	n, err := p.f.WriteAt(b, p.base+off)
	if err == nil {
		err = p.log.add(x, b)
	}
	if fed != nil {
		select {
		case <-fed.done:
		case <-p.hashed: // the hash ended without it
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.claimed = p.claimed.remove(x)
		if p.over != nil { // closed meanwhile
			return n, p.over
		}
		if p.failed = err; !p.isSpool() {
			p.failed = storeError(err)
		}
		return n, p.failed
	}
	p.have = p.have.add(x)
	p.wake()
	return n, nil
}

// claim notes that b, the range x, is being written, and gives it to the hash if the hash
// is waiting for it.
func (p *Part) claim(x Range, b []byte) (*feed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over != nil:
		return nil, p.over
	case x.Off < 0 || x.End > p.size:
		return nil, fmt.Errorf("blob %s: bytes %d to %d of %d", p.digest, x.Off, x.End, p.size)
	case p.claimed.overlaps(x):
		return nil, fmt.Errorf("blob %s: bytes %d to %d written twice", p.digest, x.Off, x.End)
	}
	p.claimed = p.claimed.add(x)
	if p.waiting != x.Off {
		return nil, nil
	}
	f := &feed{b, make(chan struct{})}
	p.waiting, p.fed = -1, f
	p.wake()
	return f, nil
}

// wake wakes all goroutines that wait for a change; mu is held.
func (p *Part) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// arrived waits until the byte at off has arrived, and returns the end of the bytes that
// follow it without a gap.
func (p *Part) arrived(ctx context.Context, off int64) (int64, error) {
	for {
		p.mu.Lock()
		end, over, changed := p.have.endAt(off), p.over, p.changed
		p.mu.Unlock()
		if end > off {
			return end, nil
		}
		if over != nil {
			return 0, over
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// next waits for content at off and returns where it ends or, while it is being written,
// the content itself.
func (p *Part) next(off int64) (end int64, fed *feed, err error) {
	for {
		p.mu.Lock()
		end, fed = p.have.endAt(off), p.fed
		over, changed := p.over, p.changed
		p.waiting, p.fed = -1, nil
		if fed == nil && end <= off {
			p.waiting = off
		}
		p.mu.Unlock()
		if over != nil {
			return 0, nil, over
		}
		if fed != nil || end > off {
			return end, fed, nil
		}
		<-changed
	}
}

func (p *Part) overErr() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// syncEach is the number of bytes after which the hash asks the kernel to start writing
// them to the disk, so that the fsync at the end does not have to wait for all of them.
const syncEach = 8 << 20

// hash follows the content as it arrives, until all of it is there.
func (p *Part) hash() {
	defer close(p.hashed)
	h := p.digest.Algorithm().Hash()
	buf := make([]byte, min(bufferSize, max(p.size, 1)))
	for off, synced := int64(0), int64(0); off < p.size; {
		end, fed, err := p.next(off)
		if err != nil {
			p.hashErr = err
			return
		}
		var n int
		if fed != nil {
			n, _ = h.Write(fed.data)
			close(fed.done)
		} else if n, err = p.f.ReadAt(buf[:min(int64(len(buf)), end-off)], p.base+off); n == 0 {
			p.hashErr = storeError(err)
			return
		} else {
			h.Write(buf[:n])
		}
		if off += int64(n); off-synced >= syncEach && p.lasting {
			atomicfile.StartWriteback(p.f, p.base+synced, off-synced)
			synced = off
		}
	}
	if sum := digest.NewDigest(p.digest.Algorithm(), h); sum != p.digest {
		p.hashErr = fmt.Errorf("blob %s: %w, but %s", p.digest, ErrMismatch, sum)
	}
}

// verdict waits until all content has arrived and been hashed. It returns nil if that is
// the blob.
func (p *Part) verdict(ctx context.Context) error {
	select {
	case <-p.hashed:
	case <-ctx.Done():
		select {
		case <-p.hashed: // a context that the verdict has ended must not hide it
		default:
			return context.Cause(ctx)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed
	}
	return p.hashErr
}

// Commit verifies the content, which must be complete, makes it durable and publishes it as
// the blob. The error is ErrMismatch if the content does not have the digest; then nothing
// of it is kept. Whatever Commit returns, the part is over.
func (p *Part) Commit(ctx context.Context) error {
	if m := p.Missing(); len(m) > 0 {
		p.Close()
		return fmt.Errorf("blob %s: %w at byte %d of %d", p.digest, io.ErrUnexpectedEOF, m[0].Off, p.size)
	}
	if err := p.verdict(ctx); err != nil {
		if ctx.Err() == nil || errors.Is(err, ErrMismatch) {
			p.Discard()
		} else {
			p.Close()
		}
		return err
	}
	if p.isSpool() {
		return p.overErr()
	}
	if !p.end(errCommitted) {
		return p.overErr()
	}
	p.putErr = storeError(p.publish())
	close(p.put)
	p.f.Close()
	p.remove()
	p.lock.release(true)
	return p.putErr
}

func (p *Part) publish() error {
	if err := p.s.publish(p.f, p.partFile(), layout.BlobName(p.digest)); err != nil {
		return err
	}
	p.f.Chmod(p.s.mode & 0o444) // nothing writes to a blob; only now, since a part must stay writable
	info, err := p.f.Stat()
	if err == nil {
		p.s.judge(layout.BlobName(p.digest), info, true)
	}
	return err
}

// Close releases the lock and keeps what has arrived for the next Begin. After
// Commit or Discard it does nothing, so that it can be deferred.
func (p *Part) Close() error { return p.CloseWithError(os.ErrClosed) }

// CloseWithError is Close, but readers that wait for content get err.
func (p *Part) CloseWithError(err error) error {
	if p.end(err) {
		p.f.Close()
		if p.isEmpty() {
			p.remove()
		}
		p.lock.release(true)
	}
	return nil
}

func (p *Part) isEmpty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.have) == 0
}

// Discard is Close, but nothing is kept.
func (p *Part) Discard() { p.DiscardWithError(errDiscarded) }

// DiscardWithError is CloseWithError, but nothing is kept.
func (p *Part) DiscardWithError(err error) {
	if p.end(err) {
		p.f.Close()
		p.remove()
		p.lock.release(true)
	}
}

// end ends the part, with why as the error for its readers and writers, and waits for the
// hash to stop. It reports whether this call was the first one.
func (p *Part) end(why error) bool {
	p.mu.Lock()
	first := p.over == nil
	if first {
		p.over = why
		p.wake()
	}
	p.mu.Unlock()
	<-p.hashed
	if first {
		p.log.f.Close()
	}
	return first
}
