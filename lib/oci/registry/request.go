package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ocipipe/lib/oci/login"
)

// maxRedirects is how many redirects in a row are followed.
const maxRedirects = 10

var errStalled = errors.New("stalled")

// answer is a response whose body notices where it stalls.
type answer struct {
	*http.Response
	from *endpoint // who was asked; nil for a URL of somebody else
	host string    // of who answered in the end
}

// endpoint is a registry, or a mirror of one.
type endpoint struct {
	c        *Client
	host     string
	prefix   string // of repositories, with its slash
	isMirror bool
	plain    bool // may be spoken to without TLS
	login    *login.Login

	mu     sync.Mutex
	scheme string                  // "" until it is known
	others map[string]*login.Login // by where redirects have led

	strikes atomic.Int32
	used    atomic.Bool // it has sent something
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

// owns reports whether u is at this endpoint, spoken to as it is.
func (e *endpoint) owns(u *url.URL) bool {
	return address(u.Host, u.Scheme) == address(e.host, u.Scheme) && slices.Contains(e.schemes(), u.Scheme)
}

// address is host with the port that scheme means where there is none.
func address(host, scheme string) string {
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return strings.ToLower(strings.TrimSuffix(host, port))
}

// elsewhere is the login where e has redirected: of a repository, if that is what the
// path of u is about, at a host.
func (e *endpoint) elsewhere(u *url.URL) (*login.Login, error) {
	repo := ""
	if m := repositoryPath.FindStringSubmatch(u.Path); m != nil {
		repo = m[1]
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	key := u.Scheme + "://" + u.Host + "/" + repo
	if l := e.others[key]; l != nil {
		return l, nil
	}
	l, err := login.Elsewhere(e.c.wire(), u.Host, repo)
	if err != nil {
		return nil, &Error{Err: err}
	}
	if e.others == nil || len(e.others) >= maxOthers {
		e.others = map[string]*login.Login{}
	}
	e.others[key] = l
	return l, nil
}

var repositoryPath = regexp.MustCompile(`^/v2/(.+)/(?:manifests|blobs)/[^/]+$`)

// maxOthers is how many logins of other hosts are kept.
const maxOthers = 100

// follow sends a request and goes where redirects lead, but not from TLS to where
// there is none, unless that is allowed. Credentials stay with the endpoint.
func (c *Client) follow(ctx context.Context, method string, u *url.URL, h http.Header, from *endpoint) (*answer, error) {
	for range maxRedirects {
		resp, err := c.ask(ctx, method, u, h, from)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.Host, explain(ctx, err))
		}
		if !login.IsRedirect(resp) {
			return &answer{resp, from, u.Host}, nil
		}
		resp.Body.Close()
		next, err := u.Parse(resp.Header.Get("Location"))
		switch {
		case err != nil || next.Host == "" || next.Scheme != "https" && next.Scheme != "http":
			return nil, &Error{Err: fmt.Errorf("%s: %w: a redirect to no web address", u.Host, ErrProtocol)}
		case u.Scheme == "https" && next.Scheme == "http" && !c.opts.Insecure:
			return nil, &Error{Err: fmt.Errorf("%s: %w", u.Host, login.StepDown(next.Host)), hint: hintInsecure}
		}
		next.User = nil
		if u = next; from != nil && from.owns(u) {
			u.Host = from.host // in the spelling that its login knows
		}
	}
	return nil, &Error{Err: fmt.Errorf("%s: %w: more than %d redirects", u.Host, ErrProtocol, maxRedirects)}
}

// ask sends a request to one host: with the login of from if that is the host,
// where from has redirected as anybody, and to the URL of a manifest as it is.
func (c *Client) ask(ctx context.Context, method string, u *url.URL, h http.Header, from *endpoint) (*http.Response, error) {
	build := func(ctx context.Context) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
		if err == nil {
			maps.Copy(req.Header, h)
		}
		return req, err
	}
	switch {
	case from == nil:
		req, err := build(ctx)
		if err != nil {
			return nil, err
		}
		return c.send(req)
	case from.owns(u):
		return from.login.Do(ctx, build)
	}
	l, err := from.elsewhere(u)
	if err != nil {
		return nil, err
	}
	return l.Do(ctx, build)
}

// wire is what logins need of us.
func (c *Client) wire() login.Wire {
	return login.Wire{Send: c.send, Timeout: c.timeout, Secret: c.keepSecret,
		Refusal: func(who string, resp *http.Response) error { return c.refusal(who, resp) }}
}

// send makes an exchange on one connection, in our name. The body of the answer
// notices where it stalls.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	own := req.Clone(ctx)
	own.Header.Set("Accept-Encoding", "identity")
	own.Header.Set("User-Agent", c.opts.UserAgent)
	resp, err := c.transport.RoundTrip(own)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = newWatched(req.Context(), resp.Body, c.timeout, cancel)
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
