package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"
	"sync"

	"ocipipe/lib/blockio"
	"ocipipe/lib/compression"
	"ocipipe/lib/decompress"
	"ocipipe/lib/layout"
	"ocipipe/lib/magic"
	"ocipipe/lib/oci/manifest"
)

// Bounds on the headers of an archive that are kept in memory.
const (
	maxEntries   = 1 << 18
	maxNameBytes = 32 << 20 // of all names and link targets
	maxLinks     = 16       // links to follow from one name
	copySize     = 256 << 10
)

// archive is an image archive whose entries can be read while it still arrives. data
// holds their contents: it is the archive file itself or, for an archive from a pipe, a
// spool file.
type archive struct {
	data    io.ReaderAt
	closers []io.Closer // closed in this order, after stop
	stop    func()      // ends the scan of a pipe, and waits for its end
	names   int         // bytes of all names; only the scan uses it
	head    []byte      // of the tar; written before the scan begins

	mu      sync.Mutex
	change  sync.Cond
	entries map[string]entry
	have    int64 // bytes of data that have arrived
	ended   bool
	err     error // why it ended early
}

// entry is a file in an archive, or a link to one.
type entry struct {
	off, size int64
	link      string // the name of the target; "" for a file
}

func newArchive(data io.ReaderAt) *archive {
	a := &archive{data: data, stop: func() {}, entries: map[string]entry{}}
	a.change.L = &a.mu
	return a
}

// indexArchive lists the entries of an archive of size bytes in r. The archive closes file
// when it is closed, and so does an error.
func indexArchive(r io.ReaderAt, size int64, file io.Closer) (*archive, error) {
	a := newArchive(r)
	a.closers = []io.Closer{file}
	a.head = make([]byte, magic.HeadSize)
	n, _ := r.ReadAt(a.head, 0) // an error comes again
	a.head = a.head[:n]
	in := seekCounter{&counter{r: io.NewSectionReader(r, 0, size), size: size}}
	if err := a.scan(in.counter, tar.NewReader(in), nil); err != nil {
		a.Close()
		return nil, err
	}
	a.have, a.ended = math.MaxInt64, true
	return a, nil
}

// spoolArchive reads an archive from r in the background and keeps the contents of its
// entries in a spool file. It decompresses a compressed archive. It does not wait for the
// end of r; wait does. The reading goes on until the archive is closed, which closes r too.
// An error of spoolArchive also closes r.
func spoolArchive(r io.ReadCloser, tmpDir string) (*archive, error) {
	spool, err := blockio.NewSpool(tmpDir)
	if err != nil {
		r.Close()
		return nil, err
	}
	a := newArchive(spool)
	a.closers = []io.Closer{spool}
	ctx, cancel := context.WithCancel(context.Background())
	received := make(chan struct{})
	a.stop = func() {
		cancel()
		r.Close()
		<-received
	}
	go func() {
		defer close(received)
		a.end(a.receive(blockio.Stoppable(ctx, r), spool))
	}()
	return a, nil
}

// receive scans the archive in r, and reads r to its end so that its writer can end without
// an error. It has a zstd window of its own: layers that are read meanwhile wait for its
// output.
func (a *archive) receive(r io.Reader, spool *blockio.Spool) error {
	in := &counter{piped: true}
	plain, err := decompress.New(context.Background(), bufio.NewReaderSize(r, copySize), nil)
	if unread := (*compression.Error)(nil); errors.As(err, &unread) {
		return err
	} else if err != nil {
		in.err = err
		return in.explain(err)
	}
	defer plain.Close()
	a.head = make([]byte, magic.HeadSize)
	n, _ := io.ReadFull(plain, a.head) // an error comes again
	a.head = a.head[:n]
	in.r = io.MultiReader(bytes.NewReader(a.head), plain)
	if err := a.scan(in, tar.NewReader(in), spool); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{in}, make([]byte, copySize)); err != nil {
		return in.explain(err)
	}
	return nil
}

// scan reads tr, which reads in, to its end mark, and adds its entries. If spool is not
// nil, scan copies their contents there.
func (a *archive) scan(in *counter, tr *tar.Reader, spool *blockio.Spool) error {
	buf := make([]byte, copySize)
	for n := 0; ; n++ {
		h, err := tr.Next()
		switch {
		case err == io.EOF && !in.eof:
			return nil
		case err != nil && n == 0:
			return a.foreign(in.explain(err))
		case err != nil:
			return in.explain(err)
		case n == maxEntries:
			return fmt.Errorf("%w: archive of more than %d entries", ErrUnsupported, maxEntries)
		}
		off := in.n
		if spool != nil {
			off = spool.Size()
		}
		isNew, err := a.add(h, off)
		if err != nil {
			return fmt.Errorf("archive: byte %d: %w", in.n, err)
		}
		if spool == nil || !isNew {
			continue
		}
		if err := a.store(in, tr, spool, buf); err != nil {
			return err
		}
	}
}

// foreign returns err, about an archive without entries, or if it is no tar what it is.
func (a *archive) foreign(err error) error {
	if len(a.head) == 0 || errors.As(err, new(*fs.PathError)) {
		return err
	}
	return magic.Explain(err, a.head, magic.Image, magic.Tar)
}

// store copies the content of the current entry of tr to spool.
func (a *archive) store(in *counter, tr *tar.Reader, spool *blockio.Spool, buf []byte) error {
	for {
		n, err := tr.Read(buf)
		if n > 0 {
			if _, err := spool.Write(buf[:n]); err != nil {
				return err
			}
			a.mu.Lock()
			a.have += int64(n)
			a.change.Broadcast()
			a.mu.Unlock()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return in.explain(err)
		}
	}
}

// add notes the entry of h, whose content begins at off. It leaves out directories and the
// like, and a blob that the archive has already: it has the same digest. The names that say
// what an archive is must not come twice. Of any other name the last entry counts, as when
// a tar is extracted.
func (a *archive) add(h *tar.Header, off int64) (isNew bool, err error) {
	name := cleanName(h.Name)
	e := entry{off: off, size: h.Size}
	switch {
	case isSparse(h):
		return false, fmt.Errorf("%w: %.200s: a sparse file", ErrUnsupported, name)
	case h.Typeflag == tar.TypeLink:
		e = entry{link: cleanName(h.Linkname)}
	case h.Typeflag == tar.TypeSymlink && path.IsAbs(h.Linkname):
		e = entry{link: cleanName(h.Linkname)}
	case h.Typeflag == tar.TypeSymlink:
		e = entry{link: cleanName(path.Join(path.Dir(name), h.Linkname))}
	case h.Typeflag != tar.TypeReg:
		return false, nil
	}
	if a.names += len(name) + len(e.link); a.names > maxNameBytes {
		return false, fmt.Errorf("%w: more than %d bytes of names", ErrUnsupported, maxNameBytes)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, dup := a.entries[name]; dup {
		switch {
		case name == layout.Index || name == manifest.DockerList:
			return false, fmt.Errorf("%w: %s is there twice", ErrCorrupt, name)
		case strings.HasPrefix(name, layout.Blobs+"/"):
			return false, nil
		}
	}
	a.entries[name] = e
	a.change.Broadcast()
	return true, nil
}

func isSparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// cleanName returns name as a key of the entries: relative to the root of the archive,
// which ".." does not leave.
func cleanName(name string) string { return path.Clean("/" + name)[1:] }

// end notes that nothing more will arrive, and err, the reason if that is too early.
func (a *archive) end(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended, a.err = true, err
	a.change.Broadcast()
}

// await blocks until ready returns true or ctx is done. The caller holds a.mu, and await
// calls ready with it held.
func (a *archive) await(ctx context.Context, ready func() bool) error {
	if ready() {
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.change.Broadcast()
	})
	defer stop()
	for !ready() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		a.change.Wait()
	}
	return nil
}

// wait blocks until the whole archive has arrived.
func (a *archive) wait(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.await(ctx, func() bool { return a.ended }); err != nil {
		return err
	}
	return a.err
}

// has blocks until the archive has the file name, or has ended without it.
func (a *archive) has(ctx context.Context, name string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := func() bool { _, ok := a.entries[name]; return ok }
	if err := a.await(ctx, func() bool { return a.ended || found() }); err != nil {
		return false, err
	}
	if found() {
		return true, nil
	}
	return false, a.err
}

// find waits for the header of the file that name leads to, and returns the file.
func (a *archive) find(ctx context.Context, name string) (entry, error) {
	at := name
	for range maxLinks {
		ok, err := a.has(ctx, at)
		if err != nil {
			return entry{}, err
		}
		if !ok {
			return entry{}, fmt.Errorf("%w: the archive has no %.200s", ErrNotFound, name)
		}
		a.mu.Lock()
		e := a.entries[at]
		a.mu.Unlock()
		if e.link == "" {
			return e, nil
		}
		at = e.link
	}
	return entry{}, fmt.Errorf("%w: %.200s: more than %d links", ErrCorrupt, name, maxLinks)
}

// isEmpty reports whether the archive has ended without an entry that counts.
func (a *archive) isEmpty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended && len(a.entries) == 0
}

// open returns a reader of the file that name leads to, which waits for what has not
// arrived.
func (a *archive) open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	e, err := a.find(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	return &arriving{a: a, ctx: ctx, pos: e.off, end: e.off + e.size}, e.size, nil
}

// Close ends the scan and closes the files that hold the archive.
func (a *archive) Close() error {
	a.stop()
	return closeAll(&a.closers)
}

// arriving reads a file of an archive.
type arriving struct {
	a        *archive
	ctx      context.Context
	pos, end int64
}

func (r *arriving) Read(p []byte) (int, error) {
	if r.pos == r.end {
		return 0, io.EOF
	}
	have, err := r.await()
	if err != nil {
		return 0, err
	}
	n, err := r.a.data.ReadAt(p[:min(int64(len(p)), have-r.pos)], r.pos)
	r.pos += int64(n)
	if n > 0 || err == nil {
		return n, nil // an error will come again
	}
	if err == io.EOF {
		err = fmt.Errorf("read archive: %w", io.ErrUnexpectedEOF)
	}
	return 0, err
}

// await blocks until a byte can be read, and returns up to where.
func (r *arriving) await() (have int64, err error) {
	a := r.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.await(r.ctx, func() bool { return a.have > r.pos || a.ended }); err != nil {
		return 0, err
	}
	if a.have > r.pos {
		return min(a.have, r.end), nil
	}
	if a.err != nil {
		return 0, a.err
	}
	return 0, io.ErrUnexpectedEOF
}

func (r *arriving) Close() error { return nil }

// counter counts the bytes of an archive and remembers the error that ended them.
type counter struct {
	r     io.Reader
	size  int64 // of the archive; 0 if it is not known
	piped bool
	n     int64
	eof   bool
	err   error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	switch {
	case n > 0 && err == io.EOF:
		err = nil // it will come again
	case err == io.EOF:
		c.eof = true
	case err != nil:
		c.err = err
	}
	return n, err
}

// seekCounter is a counter of a file, in which bytes can be skipped without reading.
type seekCounter struct{ *counter }

func (c seekCounter) Seek(off int64, whence int) (int64, error) {
	n, err := c.r.(io.Seeker).Seek(off, whence)
	if err == nil {
		c.n = n
	}
	return n, err
}

// explain turns err, which reading the archive gave, into an error for the user.
func (c *counter) explain(err error) error {
	switch {
	case c.err == io.ErrUnexpectedEOF, c.err == io.EOF, c.err == nil && c.eof:
		at := c.n
		if c.size > 0 { // bytes that are skipped may lie after the end
			at = min(at, c.size)
		}
		return &cutError{at: at, piped: c.piped}
	case c.err != nil:
		return fmt.Errorf("read archive: byte %d: %w", c.n, c.err)
	}
	return fmt.Errorf("%w: archive: byte %d: %v", ErrCorrupt, c.n, err)
}

// cutError says that an archive ends before its end mark.
type cutError struct {
	at    int64
	piped bool
}

func (e *cutError) Error() string {
	s := fmt.Sprintf("archive is cut short at byte %d", e.at)
	if e.at == 0 {
		s = "the input is empty"
	}
	if e.piped {
		s += " (see the message of the stage that wrote it)"
	}
	return s
}

func (e *cutError) Unwrap() error { return io.ErrUnexpectedEOF }
