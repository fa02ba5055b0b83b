package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/conn"
	"ocipipe/lib/oci/hosts"
	"ocipipe/lib/oci/login"
	"ocipipe/lib/oci/printable"
)

// Blob describes a blob before it is fetched.
type Blob struct {
	Digest digest.Digest
	Size   int64    // -1 if not known; then it is neither checked nor fetched in ranges
	URLs   []string // to fetch it from if the registry does not have it
}

// incoming is a blob, or a range of one, that arrives.
type incoming struct {
	body     io.ReadCloser
	from     *endpoint
	pos, end int64 // offsets in the blob; end is -1 if it is not known
	ranged   bool  // the server sends the range that was asked for, not the whole blob
	release  func()
}

// errRange says that a server does not send ranges.
var errRange = errors.New("ranges are not to be had")

// open asks for the bytes of b from off up to end, or up to the end of the blob if end is
// -1. It asks for a range if asRange, and otherwise for the whole blob. A server may send
// the whole blob in any case: then pos is 0.
func (r *Repository) open(ctx context.Context, b Blob, off, end int64, asRange bool) (*incoming, error) {
	h := http.Header{}
	if asRange {
		last := ""
		if end >= 0 {
			last = strconv.FormatInt(end-1, 10)
		}
		h.Set("Range", fmt.Sprintf("bytes=%d-%s", off, last))
	}
	var in *incoming
	use := func(a *answer) (err error) {
		if in, err = b.check(a, off, end, asRange); err != nil {
			a.Body.Close()
		}
		return err
	}
	err := r.firstAnswer(ctx, http.MethodGet, "blobs", b.Digest.String(), h, use, blobCodes...)
	if errors.Is(err, ErrNotFound) {
		if other, oerr := r.elsewhere(ctx, b, h); other != nil {
			err = use(other)
		} else if oerr != nil {
			err = oerr
		}
	}
	var refused *Error
	if asRange && errors.As(err, &refused) && slices.Contains(noRangeCodes, refused.Status) {
		err = fmt.Errorf("%w: %w", errRange, err)
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

// noRangeCodes are the answers to a request for a range by servers that do not know ranges.
var noRangeCodes = []int{http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented}

var blobCodes = []int{http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable}

// elsewhere tries the URLs of b. It sends them no credentials.
func (r *Repository) elsewhere(ctx context.Context, b Blob, h http.Header) (a *answer, err error) {
	defer func() { err = r.c.hide(err) }()
	for _, s := range b.URLs {
		u, perr := url.Parse(s)
		if perr != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !r.c.opts.Insecure && !hosts.IsLoopback(u.Host)) {
			err = &Error{Err: fmt.Errorf("%q is not a URL that layers are fetched from", printable.Text(s[:min(len(s), 200)]))}
			continue
		}
		u.User = nil
		if a, err = r.c.follow(ctx, http.MethodGet, u, h, nil); err != nil {
			continue
		}
		for _, code := range blobCodes {
			if a.StatusCode == code {
				return a, nil
			}
		}
		err = r.c.refusal(a.host, a.Response)
		login.Drain(a.Response)
	}
	return nil, err
}

// check compares an answer with the request. The error wraps errRange if a request for the
// whole blob may succeed.
func (b Blob) check(a *answer, off, end int64, asRange bool) (*incoming, error) {
	in := &incoming{body: a.Body, from: a.from, end: b.Size}
	switch {
	case a.StatusCode == http.StatusOK:
		if b.Size >= 0 && a.ContentLength >= 0 && a.ContentLength != b.Size {
			return nil, b.wrongSize(a.ContentLength)
		}
		if b.Size >= 0 && a.ContentLength < 0 && a.from != nil && a.from.isMirror { // a captive portal, perhaps
			return nil, &Error{Err: fmt.Errorf("%w: it does not say how long the blob is", ErrProtocol)}
		}
		if a.ContentLength < 0 && len(a.TransferEncoding) > 0 {
			in.end = -1 // the server marks the end itself
		}
		return in, nil
	case !asRange || a.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return nil, fmt.Errorf("%w: HTTP %d", errRange, a.StatusCode)
	}
	from, to, total, ok := contentRange(a.Header.Get("Content-Range"))
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	switch {
	case !ok, strings.HasPrefix(kind, "multipart/"), from != off, end >= 0 && to > end, b.Size >= 0 && to > b.Size,
		a.ContentLength >= 0 && a.ContentLength != to-from:
		return nil, fmt.Errorf("%w: the answer holds another", errRange)
	case total >= 0 && b.Size >= 0 && total != b.Size:
		return nil, b.wrongSize(total)
	}
	in.pos, in.end, in.ranged = from, to, true
	return in, nil
}

// wrongSize returns the error for a blob of another size.
func (b Blob) wrongSize(size int64) error {
	return &Error{Err: fmt.Errorf("%s: %w: size is %d, the manifest says %d", b.Digest, ErrSize, size, b.Size)}
}

// ErrSize is in the error if the size of a blob is not the one in the manifest.
var ErrSize = errors.New("wrong size")

// contentRange parses "bytes FROM-LAST/TOTAL". It returns LAST+1 as to, and -1 as total for
// "*".
func contentRange(s string) (from, to, total int64, ok bool) {
	unit, rest, _ := strings.Cut(s, " ")
	span, all, _ := strings.Cut(strings.TrimSpace(rest), "/")
	first, last, found := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(all, 10, 64)
	if all == "*" {
		total, err3 = -1, nil
	}
	ok = strings.EqualFold(unit, "bytes") && found && err1 == nil && err2 == nil && err3 == nil &&
		0 <= from && from <= to && to < 1<<62
	return from, to + 1, total, ok
}

// read is Read of the body. An early end is a temporary error, and counts against a
// mirror.
func (in *incoming) read(p []byte) (int, error) {
	n, err := in.body.Read(p)
	in.pos += int64(n)
	if err == io.EOF && in.end >= 0 && in.pos < in.end {
		err = &Error{Err: fmt.Errorf("connection broke off: %w", conn.Plain(io.ErrUnexpectedEOF)), retry: true}
	}
	if err != nil && err != io.EOF && in.from != nil && in.from.isMirror {
		in.from.strikes.Add(1)
	}
	return n, err
}

// skip reads up to off, which must not be before pos.
func (in *incoming) skip(off int64, buf []byte) error {
	for in.pos < off {
		_, err := in.read(buf[:min(int64(len(buf)), off-in.pos)])
		if err == io.EOF && in.pos < off {
			return &Error{Err: fmt.Errorf("%w: the blob ends at byte %d", ErrSize, in.pos)}
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

func (in *incoming) close() {
	if in != nil {
		in.body.Close()
		if in.release != nil {
			in.release()
		}
	}
}
