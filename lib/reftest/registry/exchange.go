package registry

import (
	"crypto/tls"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// exchange is a request and its answer.
type exchange struct {
	Behaviour
	s    *Server
	w    http.ResponseWriter
	r    *http.Request
	rule Rule
}

func (s *Server) begin(w http.ResponseWriter, r *http.Request, host string) *exchange {
	s.mu.Lock()
	b := s.behaviour
	s.mu.Unlock()
	s.count(func(c *counters) { c.request(r, host) })
	return &exchange{Behaviour: b, s: s, w: w, r: r, rule: s.rule(r, host)}
}

func (x *exchange) end() { x.s.count(func(c *counters) { c.Running-- }) }

// fails waits as the rule says, and reports whether the rule has answered the request.
func (x *exchange) fails() bool {
	if wait(x.r.Context(), time.Duration(x.Latency+x.rule.Wait)) != nil {
		return true
	}
	switch {
	case x.rule.Break == "drop":
		x.cut("reset")
		return true
	case x.rule.Status == 0:
		return false
	}
	if x.rule.RetryAfter != "" {
		x.w.Header().Set("Retry-After", retryAfter(x.rule.RetryAfter))
	}
	code := x.rule.Code
	if code == "" {
		code = strings.ToUpper(strings.ReplaceAll(http.StatusText(x.rule.Status), " ", ""))
	}
	refuse(x.w, x.rule.Status, code, x.rule.Message)
	return true
}

// blob answers with a blob, or with the error code unknown.
func (x *exchange) blob(digest, unknown string) {
	b, ok := x.s.blobOf(digest)
	if !ok {
		refuse(x.w, http.StatusNotFound, unknown, "blob unknown to registry")
		return
	}
	x.w.Header().Set("Content-Type", "application/octet-stream")
	x.w.Header().Set("Accept-Ranges", "bytes")
	x.send(digest, b, x.r.Header.Get("Range"))
}

// send answers with b, or with the range of it in asked.
func (x *exchange) send(digest string, b blob, asked string) {
	from, n, ok := parseRange(asked, b.size)
	switch {
	case asked == "" || x.rule.Range == "ignore":
		x.body(digest, b, 0, b.size, http.StatusOK)
		return
	case !ok || x.rule.Range == "refuse":
		x.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", b.size))
		refuse(x.w, http.StatusRequestedRangeNotSatisfiable, "RANGE", "range not satisfiable")
		return
	}
	total, label := b.size, from
	switch x.rule.Range {
	case "short":
		n = (n + 1) / 2
	case "start":
		from, label = 0, 0
	case "lie":
		from = 0
	case "total":
		total += 1000
	case "multipart":
		x.multipart(digest, b, from, n)
		return
	}
	if x.rule.Range != "unlabeled" {
		x.w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", label, label+n-1, total))
	}
	x.body(digest, b, from, n, http.StatusPartialContent)
}

// parseRange parses "bytes=A-B" and "bytes=A-".
func parseRange(s string, size int64) (from, n int64, ok bool) {
	first, last, dash := strings.Cut(strings.TrimPrefix(s, "bytes="), "-")
	from, err := strconv.ParseInt(first, 10, 64)
	end := size - 1
	if last != "" && err == nil {
		end, err = strconv.ParseInt(last, 10, 64)
		end = min(end, size-1)
	}
	return from, end - from + 1, dash && err == nil && from >= 0 && from <= end
}

func (x *exchange) multipart(digest string, b blob, from, n int64) {
	m := multipart.NewWriter(x.w)
	x.w.Header().Set("Content-Type", "multipart/byteranges; boundary="+m.Boundary())
	x.w.WriteHeader(http.StatusPartialContent)
	x.w, x.rule = &part{x.w, m, fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, b.size)}, Rule{}
	x.copy(digest, b, from, n)
	m.Close()
}

// part is a ResponseWriter for one part of a multipart body.
type part struct {
	http.ResponseWriter
	m        *multipart.Writer
	contents string
}

func (p *part) Write(b []byte) (int, error) {
	if p.contents != "" {
		w, err := p.m.CreatePart(textproto.MIMEHeader{"Content-Range": {p.contents}})
		if err != nil {
			return 0, err
		}
		p.contents = ""
		return w.Write(b)
	}
	return p.ResponseWriter.Write(b)
}

// body answers with n bytes of b and breaks as the rule says.
func (x *exchange) body(digest string, b blob, from, n int64, status int) {
	x.w.Header().Set("Content-Length", strconv.FormatInt(n+x.rule.Length, 10))
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return
	}
	if x.rule.Break == "" {
		x.copy(digest, b, from, n)
		return
	}
	if x.copy(digest, b, from, min(n, x.rule.At)) == nil {
		x.cut(x.rule.Break)
	}
}

// cut ends the connection or, if how is "stall", waits until the client has left.
func (x *exchange) cut(how string) {
	if f, ok := x.w.(http.Flusher); ok && x.rule.Break != "drop" {
		f.Flush()
	}
	x.leave(how)
}

// leave is cut without an answer.
func (x *exchange) leave(how string) {
	if how == "stall" {
		select {
		case <-x.r.Context().Done():
		case <-x.s.closing: // a handler that leaves a body unread does not hear of the client
		}
		return
	}
	h, ok := x.w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler) // HTTP/2 ends the stream
	}
	conn, _, err := h.Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok && how == "reset" {
		time.Sleep(10 * time.Millisecond) // let the bytes that were sent arrive
		tcp.SetLinger(0)
	}
	conn.Close()
}

// sendSize is how many bytes are counted and sent at a time.
const sendSize = 1 << 20

// copy sends n bytes of b and counts them.
func (x *exchange) copy(digest string, b blob, from, n int64) error {
	f, err := b.open()
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		panic(err)
	}
	for end := from + n; from < end; {
		n, err := x.next(from, end)
		if err != nil {
			return errLeft
		}
		// Counted first, so that a client that has received bytes sees them counted.
		x.s.count(func(c *counters) { c.served(digest, b.size, from, n) })
		done, err := x.piece(f, from, n)
		if err != nil {
			x.s.count(func(c *counters) { c.notServed(digest, from+done, n-done) })
			return errLeft
		}
		from += n
		if err := wait(x.r.Context(), time.Duration(x.rule.Pause)); err != nil {
			return errLeft
		}
	}
	return nil
}

// next returns how many of the bytes between from and end may be sent now.
func (x *exchange) next(from, end int64) (int64, error) {
	n := min(sendSize, end-from)
	if x.rule.Piece > 0 {
		n = min(n, int64(x.rule.Piece))
	}
	if x.Rate > 0 {
		n = min(n, max(x.Rate/50, 1))
		if err := x.s.limit(x.r).take(x.r.Context(), n, x.Rate); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// piece sends n bytes from offset from, which is that of f, and returns how many were sent.
func (x *exchange) piece(f io.Reader, from, n int64) (int64, error) {
	if at := x.rule.Flip - 1; at >= from && at < from+n {
		buf := make([]byte, n)
		if _, err := io.ReadFull(f, buf); err != nil {
			panic(err)
		}
		buf[at-from] ^= 1
		done, err := x.w.Write(buf)
		return int64(done), err
	}
	done, err := io.CopyN(x.w, f, n) // uses sendfile if f is a file
	if x.rule.Piece > 0 || x.Rate > 0 {
		if fl, ok := x.w.(http.Flusher); ok {
			fl.Flush()
		}
	}
	return done, err
}
