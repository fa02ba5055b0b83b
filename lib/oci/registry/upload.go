package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ocipipe/lib/oci/conn"
	"ocipipe/lib/oci/login"
)

// Upload says how a blob is uploaded.
type Upload struct {
	// Open returns the bytes of the blob from off on. The reader must fail, at the latest
	// where it would report io.EOF, if they are not the right ones: the registry never gets
	// the last bytes of a wrong blob. It may be called again for the same bytes.
	Open func(ctx context.Context, off int64) (io.ReadCloser, error)
	// Mount are repositories at the same registry that may have the blob; see
	// Target.Sibling. They are asked in order.
	Mount []string
	// Chunk is the size of one request in bytes, at most; 0 is DefaultChunk. A registry
	// may ask for more, and a proxy before it for less.
	Chunk  int64
	Sent   func(n int64) // takes how many bytes were sent, of those from 0 on; may be nil
	Notify func(Retry)   // may be nil
}

// DefaultChunk is the greatest size of one request for a part of a blob, in bytes: below the
// 100 MB that proxies take.
const DefaultChunk = 64 << 20

const (
	smallBlob  = 1 << 20   // up to here a blob goes in one request
	minChunk   = 256 << 10 // chunks do not get smaller than this
	shrink     = 4         // by which chunks get smaller
	commitRate = 20 << 20  // bytes a second at which a registry should be able to store a blob
)

// The forms in which the bytes of a blob are sent, by what registries understand.
const (
	inChunks = iota // PATCH for each part, with a Content-Range
	inStream        // one PATCH, as docker makes it
	inOne           // one PUT
)

// upload is one call of Target.Upload.
type upload struct {
	t     *Target
	ctx   context.Context
	b     Blob
	opts  Upload
	src   *blobReader
	tries attempts

	loc      *url.URL // of the session; nil without one
	off      int64    // bytes that the registry has
	chunk    int64
	floor    int64 // chunks must not be smaller
	forms    []int // the one in use, and those to try after it
	mounts   []string
	mounted  string
	restarts int // how often bytes were sent for nothing, in this form
	lost     int // sessions that the registry has forgotten
	done     bool
}

// Upload uploads b, whose size must be known. If another repository could give it, Upload
// returns which one, and "" otherwise. After a failure that may pass it asks the registry how
// many bytes it has, and goes on from there, or from the beginning if the registry does not
// say. After an error the registry does not have the blob by its digest.
func (t *Target) Upload(ctx context.Context, b Blob, opts Upload) (from string, err error) {
	u := &upload{t: t, ctx: ctx, b: b, opts: opts, tries: attempts{c: t.c, notify: opts.Notify}, chunk: opts.Chunk, floor: minChunk, mounts: opts.Mount}
	if u.chunk <= 0 {
		u.chunk = DefaultChunk
	}
	form, most := t.learn(inChunks, math.MaxInt64)
	u.chunk = min(u.chunk, most)
	u.forms = []int{inChunks, inStream, inOne}[form:]
	if b.Size <= smallBlob {
		u.forms = []int{inOne, inChunks}
	}
	u.src = &blobReader{ctx: ctx, size: b.Size, open: opts.Open, sent: opts.Sent}
	defer u.src.close()
	for !u.done {
		if err := u.step(); err != nil {
			if err = u.recover(err); err != nil {
				u.abandon()
				return "", err
			}
		}
	}
	if b.Size > smallBlob {
		t.learn(u.forms[0], math.MaxInt64)
	}
	return u.mounted, nil
}

// learn notes what an upload has shown: the form that is needed, and the greatest chunk that
// is possible. It returns what all of them have shown.
func (t *Target) learn(form int, chunk int64) (int, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.form, t.chunk = max(t.form, form), min(t.chunk, chunk)
	return t.form, t.chunk
}

// step makes the next request.
func (u *upload) step() error {
	switch {
	case u.loc == nil:
		return u.begin()
	case u.forms[0] == inOne:
		return u.commit(u.b.Size)
	case u.off < u.b.Size:
		return u.patch()
	}
	return u.commit(0)
}

// begin gets a session, unless the blob can be mounted.
func (u *upload) begin() error {
	for len(u.mounts) > 0 && !u.done {
		from := u.mounts[0]
		u.mounts = u.mounts[1:]
		u.abandon()
		if err := u.post(from); err != nil && u.ctx.Err() != nil {
			return err
		}
	}
	if u.done || u.loc != nil {
		return nil
	}
	return u.post("")
}

// post asks for a session, or for the blob of the repository from.
func (u *upload) post(from string) error {
	at, err := u.t.url(u.ctx, "blobs/uploads/")
	if err != nil {
		return err
	}
	o := order{method: http.MethodPost, u: at}
	if from != "" {
		at.RawQuery = "mount=" + url.QueryEscape(u.b.Digest.String()) + "&from=" + url.QueryEscape(from)
		o.login = u.t.mounting(from)
	}
	r, err := u.t.do(u.ctx, o, http.StatusAccepted, http.StatusCreated)
	if err != nil {
		return readOnly(err)
	}
	login.Drain(r.Response)
	if r.StatusCode == http.StatusAccepted {
		return u.session(r)
	}
	if err := r.checkDigest(u.b.Digest, nil); err != nil {
		return err
	}
	has, err := u.t.hasBlob(u.ctx, u.b)
	if err == nil && !has {
		err = &Error{Err: fmt.Errorf("%w: it says that it has the blob, and then that it does not", ErrProtocol)}
	}
	if err == nil {
		u.done, u.mounted = true, from
	}
	return err
}

// readOnly explains that a registry knows no uploads.
func readOnly(err error) error {
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusMethodNotAllowed {
		return fmt.Errorf("%w: it takes no uploads", err)
	}
	return err
}

func (t *Target) mounting(from string) *login.Login {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mounts[from] == nil {
		t.mounts[from] = t.at.login.Mounting(from)
	}
	return t.mounts[from]
}

// session takes over the session that r begins.
func (u *upload) session(r *reply) (err error) {
	if id := r.Header.Get("Docker-Upload-UUID"); r.Header.Get("Location") == "" && id != "" {
		r.Header.Set("Location", r.at.EscapedPath()+url.PathEscape(id))
	}
	if u.loc, err = u.t.location(r); err != nil {
		return err
	}
	u.reset(0)
	if n, err := strconv.ParseInt(r.Header.Get("OCI-Chunk-Min-Length"), 10, 64); err == nil && n > 0 {
		u.floor = max(u.floor, n)
		u.chunk = max(u.chunk, n)
	}
	return nil
}

// reset says that the registry has off bytes.
func (u *upload) reset(off int64) {
	u.off = off
	if u.opts.Sent != nil {
		u.opts.Sent(off)
	}
}

// patch sends the next bytes: a chunk, or all.
func (u *upload) patch() error {
	h := http.Header{"Content-Type": {"application/octet-stream"}}
	end := u.b.Size
	if u.forms[0] == inChunks {
		end = min(end, u.off+u.chunk)
		h.Set("Content-Range", fmt.Sprintf("%d-%d", u.off, end-1))
	} else if u.off > 0 {
		return u.restart(nil)
	}
	r, err := u.send(http.MethodPatch, u.loc, h, end, http.StatusAccepted, http.StatusCreated, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return err
	}
	if err := u.follow(r); err != nil {
		return err
	}
	if sent := u.src.sentMost(); sent < end {
		return &Error{Err: fmt.Errorf("%w: it says that it has taken %d bytes, %d were sent", errLies, end, sent)}
	}
	if have, ok := uploaded(r.Header.Get("Range"), u.off); ok && have != end {
		if have < u.off || have > end {
			return &Error{Err: fmt.Errorf("%w: it says that it has %d bytes, %d were sent", errLies, have, end)}
		}
		if u.restarts++; u.restarts > u.mayRestart() {
			return &Error{Err: fmt.Errorf("%w: it takes only parts of what is sent", errLies)}
		}
		if end = have; end == u.off {
			return &Error{Err: errors.New("registry: it took none of the bytes"), retry: true}
		}
	}
	u.tries.progress(int(min(end-u.off, progressBytes)))
	u.reset(end)
	return nil
}

// follow notes where the session goes on.
func (u *upload) follow(r *reply) error {
	login.Drain(r.Response)
	if r.Header.Get("Location") == "" {
		return nil
	}
	next, err := u.t.location(r)
	if err == nil {
		u.loc = next
	}
	return err
}

// send sends the bytes from u.off to end; none if end is u.off.
func (u *upload) send(method string, to *url.URL, h http.Header, end int64, codes ...int) (*reply, error) {
	off := u.off
	ctx := u.ctx
	if method == http.MethodPut {
		ctx = conn.Patiently(ctx, u.t.c.timeout+time.Duration(u.b.Size/commitRate)*time.Second)
	}
	return u.t.do(ctx, order{
		method: method, u: to, header: h, size: end - off,
		body: func() (io.ReadCloser, error) { return u.src.section(off, end) },
	}, codes...)
}

// uploaded parses the header Range of an answer, 0-LAST or off-LAST. The answer is not ok if
// it does not say for certain how many bytes there are: some registries say 0-0 for none.
func uploaded(s string, off int64) (n int64, ok bool) {
	first, last, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "bytes="), "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if !found || err1 != nil || err2 != nil || from != 0 && from != off || to < from || to <= 0 || to >= 1<<62 {
		return 0, false
	}
	return to + 1, true
}

// commit ends the session: the registry stores the blob under its digest. The last n bytes
// go with the request.
func (u *upload) commit(n int64) error {
	if n == 0 {
		if err := u.src.check(); err != nil {
			return err
		}
	} else {
		u.off = 0
	}
	to := *u.loc
	if to.RawQuery != "" { // which may be signed, and stays as it is
		to.RawQuery += "&"
	}
	to.RawQuery += "digest=" + url.QueryEscape(u.b.Digest.String())
	h := http.Header{"Content-Type": {"application/octet-stream"}}
	r, err := u.send(http.MethodPut, &to, h, u.off+n, http.StatusCreated, http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return err
	}
	login.Drain(r.Response)
	if err := r.checkDigest(u.b.Digest, nil); err != nil {
		return err
	}
	if sent := u.src.sentMost(); sent < u.b.Size {
		return &Error{Err: fmt.Errorf("%w: it says that it has the blob, %d bytes were sent", errLies, sent)}
	}
	if r.StatusCode != http.StatusCreated || r.Header.Get("Docker-Content-Digest") != u.b.Digest.String() {
		has, err := u.t.hasBlob(u.ctx, u.b)
		if err == nil && !has {
			err = &Error{Err: fmt.Errorf("%w: it took the blob, and does not have it", ErrProtocol)}
		}
		if err != nil {
			return err
		}
	}
	u.done = true
	u.reset(u.b.Size)
	return nil
}
