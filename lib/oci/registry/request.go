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

	"github.com/google/go-containerregistry/pkg/authn"

	"ocipipe/lib/oci/hosts"
	"ocipipe/lib/oci/login"
)

// maxRedirects is how many redirects of one request are followed.
const maxRedirects = 10

// answer is a response. A Read of its body fails if the connection stalls.
type answer struct {
	*http.Response
	from *endpoint // the one that was asked; nil for a URL in a manifest
	host string    // the one that answered in the end
}

// endpoint is a repository at a registry, or at a mirror of one.
type endpoint struct {
	c          *Client
	host       string
	repo       string
	isMirror   bool
	named      bool         // host is the one in the image's name
	plain      bool         // plain HTTP is allowed
	unverified bool         // its certificate is not verified
	missing    MissingLogin // for the error if no credentials are found
	login      *login.Login

	mu     sync.Mutex
	scheme string                  // "" until it is known
	others map[string]*login.Login // by the URL that redirects have led to

	strikes atomic.Int32
	used    atomic.Bool // it has answered
}

// endpoint makes an endpoint of at, without a login.
func (c *Client) endpoint(at hosts.Endpoint) *endpoint {
	insecure := at.Insecure && c.opts.Certs.Verify != hosts.VerifyAll
	return &endpoint{c: c, host: at.Host, repo: at.Repo, scheme: at.Scheme,
		plain: c.opts.Insecure || insecure || hosts.IsLoopback(at.Host), unverified: insecure}
}

func (e *endpoint) logIn(keys authn.Keychain) (err error) {
	e.login, err = login.New(e.c.wire(e), e.host, e.repo, keys)
	return err
}

// peer returns the host of req, as a request for e reaches it; e is nil for a URL in a
// manifest. A host that a redirect leads to is not known, even if it is another endpoint.
func (e *endpoint) peer(req *http.Request) hosts.Peer {
	p := hosts.Peer{Host: req.URL.Host}
	switch {
	case e == nil:
	case p.Host == e.host:
		p.Known, p.Named, p.Unverified = true, e.named, e.unverified
	default:
		p.Known = req.Response == nil // a token server that e has named
	}
	return p
}

// send asks the endpoint for path, by each scheme that is possible.
func (e *endpoint) send(ctx context.Context, method, path string, h http.Header) (*answer, error) {
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

// sawTLS returns a callback that decides the scheme with the first handshake, whatever
// becomes of the request.
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

// owns reports whether u is at this endpoint, with a scheme that is possible for it.
func (e *endpoint) owns(u *url.URL) bool {
	return address(u.Host, u.Scheme) == address(e.host, u.Scheme) && slices.Contains(e.schemes(), u.Scheme)
}

// address returns host without the default port of scheme.
func address(host, scheme string) string {
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return strings.ToLower(strings.TrimSuffix(host, port))
}

// elsewhere returns the login at the host of u, where e has redirected: for the repository
// in the path of u, if there is one.
func (e *endpoint) elsewhere(u *url.URL) (*login.Login, error) {
	repo := ""
	if m := repositoryPath().FindStringSubmatch(u.Path); m != nil {
		repo = m[1]
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	key := u.Scheme + "://" + u.Host + "/" + repo
	if l := e.others[key]; l != nil {
		return l, nil
	}
	l, err := login.Elsewhere(e.c.wire(nil), u.Host, repo)
	if err != nil {
		return nil, &Error{Err: err}
	}
	if e.others == nil || len(e.others) >= maxOthers {
		e.others = map[string]*login.Login{}
	}
	e.others[key] = l
	return l, nil
}

var repositoryPath = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^/v2/(.+)/(?:manifests|blobs)/[^/]+$`)
})

// maxOthers is how many logins of other hosts are kept.
const maxOthers = 100

// follow sends a request and follows redirects; from TLS to plain HTTP only if that is
// allowed. It sends credentials only to the endpoint.
func (c *Client) follow(ctx context.Context, method string, u *url.URL, h http.Header, from *endpoint) (*answer, error) {
	for range maxRedirects {
		resp, err := c.exchange(ctx, method, u, h, from)
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
			return nil, &Error{Err: fmt.Errorf("%s: %w", u.Host, login.StepDown(next.Host)), Remedy: AllowHTTP}
		}
		next.User = nil
		if u = next; from != nil && from.owns(u) {
			u.Host = from.host // in the spelling of its login
		}
	}
	return nil, &Error{Err: fmt.Errorf("%s: %w: more than %d redirects", u.Host, ErrProtocol, maxRedirects)}
}

// exchange sends a request to one host. It uses the login of from if u is there, and an
// anonymous one where from has redirected. from is nil for a URL in a manifest, which gets
// the request as it is.
func (c *Client) exchange(ctx context.Context, method string, u *url.URL, h http.Header, from *endpoint) (*http.Response, error) {
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
		return c.conns.Send(req, from.peer(req))
	case from.owns(u):
		return from.login.Do(ctx, build)
	}
	l, err := from.elsewhere(u)
	if err != nil {
		return nil, err
	}
	return l.Do(ctx, build)
}

// wire returns what the logins of e need; e is nil for a host that a redirect has led to.
func (c *Client) wire(e *endpoint) login.Wire {
	send := func(req *http.Request) (*http.Response, error) { return c.conns.Send(req, e.peer(req)) }
	return login.Wire{Send: send, Timeout: c.timeout, Secret: c.keepSecret,
		Refusal: func(from string, resp *http.Response) error { return c.refusal(from, resp) }}
}
