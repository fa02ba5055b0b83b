package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxRedirects is how many redirects in a row are followed.
const maxRedirects = 10

var errStalled = errors.New("stalled")

// answer is a response whose body notices where it stalls.
type answer struct {
	*http.Response
	from *endpoint // who was asked; nil for a URL of somebody else
	url  *url.URL  // of who answered in the end
	host string    // there
}

// endpoint is a registry, or a mirror of one.
type endpoint struct {
	c        *Client
	host     string
	prefix   string // of repositories, with its slash
	isMirror bool
	plain    bool // may be spoken to without TLS

	mu     sync.Mutex
	scheme string // "" until it is known

	strikes atomic.Int32
}

// do asks the endpoint for path.
func (e *endpoint) do(ctx context.Context, method, path string, h http.Header) (*answer, error) {
	var err error
	for _, scheme := range e.schemes() {
		u := &url.URL{Scheme: scheme, Host: e.host, Path: path}
		tctx := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{TLSHandshakeDone: e.sawTLS(scheme)})
		var a *answer
		if a, err = e.c.follow(tctx, method, u, h, e); err == nil {
			e.decide(scheme)
			return a, nil
		}
		if ctx.Err() != nil || !e.mayBePlain(err) {
			break
		}
	}
	return nil, err
}

func (e *endpoint) schemes() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.scheme != "":
		return []string{e.scheme}
	case e.plain:
		return []string{"https", "http"}
	}
	return []string{"https"}
}

func (e *endpoint) decide(scheme string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.scheme == "" {
		e.scheme = scheme
	}
}

// sawTLS settles the scheme with the first handshake, whatever becomes of the
// request.
func (e *endpoint) sawTLS(scheme string) func(_ tls.ConnectionState, err error) {
	return func(_ tls.ConnectionState, err error) {
		if err == nil && scheme == "https" {
			e.decide(scheme)
		}
	}
}

// mayBePlain reports whether a request by TLS failed as it would at a server
// that does not speak it.
func (e *endpoint) mayBePlain(err error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _, noPort := net.SplitHostPort(e.host)
	return e.scheme != "https" && (errors.As(err, new(tls.RecordHeaderError)) || errors.Is(err, http.ErrSchemeMismatch) ||
		errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
		noPort != nil && errors.Is(err, syscall.ECONNREFUSED))
}

// follow sends a request and goes where redirects lead. Each host gets the
// authorization that is its own, or none.
func (c *Client) follow(ctx context.Context, method string, u *url.URL, h http.Header, from *endpoint) (*answer, error) {
	for range maxRedirects {
		resp, err := c.ask(ctx, method, u, h, from)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.Host, explain(ctx, err))
		}
		where := resp.Header.Get("Location")
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			where = ""
		}
		if where == "" {
			return &answer{resp, from, u, u.Host}, nil
		}
		resp.Body.Close()
		next, err := u.Parse(where)
		if err != nil || next.Host == "" || next.Scheme != "https" && next.Scheme != "http" {
			return nil, &Error{Err: fmt.Errorf("%s: %w: a redirect to no web address", u.Host, ErrProtocol)}
		}
		next.User = nil
		u = next
	}
	return nil, &Error{Err: fmt.Errorf("%s: %w: more than %d redirects", u.Host, ErrProtocol, maxRedirects)}
}

// ask sends a request to one host, and logs in there if that is asked for.
func (c *Client) ask(ctx context.Context, method string, u *url.URL, h http.Header, from *endpoint) (*http.Response, error) {
	if !from.mayLogIn(u) {
		return c.send(ctx, method, u, h, "", nil)
	}
	l := c.login(u, from)
	for try := 0; ; try++ {
		auth := l.header()
		resp, err := c.send(ctx, method, u, h, auth, nil)
		if err != nil || try == maxLogins || !l.isRefusal(resp, auth) {
			return resp, err
		}
		again, err := l.renew(ctx, resp, auth)
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
		if !again {
			return resp, nil
		}
		drain(resp)
	}
}

// drain reads what little there is of a body, so that the connection can be used
// again.
func drain(resp *http.Response) {
	io.CopyN(io.Discard, resp.Body, maxErrorBody)
	resp.Body.Close()
}

// send makes one exchange on one connection.
func (c *Client) send(ctx context.Context, method string, u *url.URL, h http.Header, auth string, form url.Values) (*http.Response, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	rctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(rctx, method, u.String(), body)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	for k, v := range h {
		req.Header[k] = v
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "ocipipe")
	if c.opts.UserAgent != "" {
		req.Header.Set("User-Agent", c.opts.UserAgent)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = newWatched(ctx, resp.Body, c.timeout, cancel)
	return resp, nil
}

// watched is a body that fails where it stands still while it is read.
type watched struct {
	io.ReadCloser
	ctx     context.Context
	timeout time.Duration
	timer   *time.Timer
	stalled atomic.Bool
	cancel  context.CancelCauseFunc
}

func newWatched(ctx context.Context, body io.ReadCloser, timeout time.Duration, cancel context.CancelCauseFunc) *watched {
	w := &watched{ReadCloser: body, ctx: ctx, timeout: timeout, cancel: cancel}
	w.timer = time.AfterFunc(timeout, func() {
		w.stalled.Store(true)
		cancel(errStalled)
	})
	w.timer.Stop()
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.timeout)
	n, err := w.ReadCloser.Read(p)
	w.timer.Stop()
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case w.stalled.Load():
		err = fmt.Errorf("connection stalled: nothing came for %s", w.timeout)
	default:
		err = fmt.Errorf("connection broke off: %w", err)
	}
	return n, explain(w.ctx, err)
}

func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.ReadCloser.Close()
}
