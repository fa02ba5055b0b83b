package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/hosts"
	"ocipipe/lib/oci/login"
	"ocipipe/lib/oci/printable"
)

// Target is a repository that is written to. It is that of the registry itself, or of the
// one that a configuration puts in its place, never one of a mirror. Its methods may be
// called from several goroutines.
type Target struct {
	c  *Client
	at *endpoint

	mu     sync.Mutex
	form   int                     // of uploads, that has turned out to be needed
	chunk  int64                   // the greatest that has turned out to be possible
	mounts map[string]*login.Login // by repository
}

// Target returns the repository of ref for writing.
func (c *Client) Target(ref name.Reference) (*Target, error) {
	e, _, err := c.origin(ref, &login.Files{Paths: c.opts.AuthFiles, Warn: c.opts.Warn})
	if err != nil {
		return nil, err
	}
	e.login.ForPush()
	return &Target{c: c, at: e, chunk: math.MaxInt64, mounts: map[string]*login.Login{}}, nil
}

// Sibling returns the name that repo has at the registry of t, or "" if it is at another
// one, or t itself.
func (t *Target) Sibling(repo name.Repository) string {
	route, err := hosts.Find(t.c.opts.Configs, repo.Tag(name.DefaultTag), func(string) {})
	if err != nil || route.Origin.Host != t.at.host || route.Origin.Repo == t.at.repo {
		return ""
	}
	return route.Origin.Repo
}

// order is a request to a target.
type order struct {
	method string
	u      *url.URL
	header http.Header
	body   func() (io.ReadCloser, error) // nil: no body
	size   int64                         // of the body
	login  *login.Login                  // nil: that of the target
}

// reply is an answer, and the URL that gave it, to which its Location is relative.
type reply struct {
	*answer
	at *url.URL
}

// url returns the URL of path in the repository.
func (t *Target) url(ctx context.Context, path string) (*url.URL, error) {
	if len(t.at.schemes()) > 1 { // a ping decides
		a, err := t.at.send(ctx, http.MethodGet, "/v2/", nil)
		if err != nil {
			return nil, t.c.hide(t.at.advise(err))
		}
		login.Drain(a.Response)
	}
	return &url.URL{Scheme: t.at.schemes()[0], Host: t.at.host, Path: "/v2/" + t.at.repo + "/" + path}, nil
}

// do sends a request and follows redirects, but no redirect that would drop what is sent. It
// sends credentials only to the registry. The answer must have one of the codes.
func (t *Target) do(ctx context.Context, o order, codes ...int) (_ *reply, err error) {
	defer func() { err = t.c.hide(err) }()
	for range maxRedirects {
		resp, err := t.exchange(ctx, o)
		if err != nil {
			return nil, t.at.advise(fmt.Errorf("%s: %w", o.u.Host, explain(ctx, err)))
		}
		r := &reply{&answer{resp, t.at, o.u.Host}, o.u}
		switch {
		case slices.Contains(codes, resp.StatusCode):
			return r, nil
		case !login.IsRedirect(resp):
			defer login.Drain(resp)
			return nil, t.refusal(r)
		}
		login.Drain(resp)
		if code := resp.StatusCode; code != http.StatusTemporaryRedirect && code != http.StatusPermanentRedirect && o.method != http.MethodHead && o.method != http.MethodGet {
			return nil, &Error{Err: fmt.Errorf("%s: %w: a redirect that drops what is sent (HTTP %d)", o.u.Host, ErrProtocol, code), Status: code}
		}
		if o.u, err = t.location(r); err != nil {
			return nil, err
		}
	}
	return nil, &Error{Err: fmt.Errorf("%s: %w: more than %d redirects", t.at.host, ErrProtocol, maxRedirects)}
}

func (t *Target) exchange(ctx context.Context, o order) (*http.Response, error) {
	build := func(ctx context.Context) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, o.method, o.u.String(), nil)
		if err != nil {
			return nil, err
		}
		maps.Copy(req.Header, o.header)
		if o.body != nil && o.size > 0 {
			req.ContentLength = o.size
			req.Body, err = o.body()
		}
		return req, err
	}
	if !t.at.owns(o.u) {
		req, err := build(ctx)
		if err != nil {
			return nil, err
		}
		return t.c.conns.Send(req, hosts.Peer{Host: o.u.Host})
	}
	l := o.login
	if l == nil {
		l = t.at.login
	}
	return l.Do(ctx, build)
}

// refusal returns the error for an answer with another code. It shows nothing of the query
// of the URL, which may be signed.
func (t *Target) refusal(r *reply) error {
	from := "registry"
	if r.host != t.at.host {
		from = r.host
	}
	e := t.c.refusal(from, r.Response)
	text := e.Err.Error()
	const isSecret = 8 // characters; shorter values would strike out harmless text
	for _, values := range r.at.Query() {
		for _, v := range values {
			if len(v) >= isSecret && digest.Digest(v).Validate() != nil {
				text = strings.ReplaceAll(strings.ReplaceAll(text, v, "***"), url.QueryEscape(v), "***")
			}
		}
	}
	if text != e.Err.Error() {
		e.Err = errors.New(text)
	}
	if from != "registry" {
		return e
	}
	return t.at.advise(e)
}

// location returns the URL in the header Location of r.
func (t *Target) location(r *reply) (*url.URL, error) {
	fail := func(format string, args ...any) (*url.URL, error) {
		return nil, &Error{Err: fmt.Errorf("%s: %w: %s", r.at.Host, ErrProtocol, fmt.Sprintf(format, args...))}
	}
	next, err := r.at.Parse(r.Header.Get("Location"))
	if err != nil || next.Host == "" || next.Scheme != "https" && next.Scheme != "http" {
		return fail("it sends to no web address")
	}
	next.User, next.Fragment, next.RawFragment = nil, "", ""
	switch here, there := r.at.Hostname(), next.Hostname(); {
	case strings.EqualFold(next.Host, t.at.host): // perhaps behind a proxy, and with the wrong scheme
		next.Scheme, next.Host = t.at.schemes()[0], t.at.host
	case t.at.owns(next):
		next.Host = t.at.host
	case r.at.Scheme == "https" && next.Scheme == "http" && !t.c.opts.Insecure:
		return nil, &Error{Err: fmt.Errorf("%s: %w", r.at.Host, login.StepDown(next.Host)), Remedy: AllowHTTP}
	case !strings.EqualFold(here, there) && isPrivate(there):
		return fail("it sends to the private address %q", printable.Text(there))
	}
	return next, nil
}

// isPrivate reports whether host is an address that only machines nearby reach: a registry
// must not make us send requests there.
func isPrivate(host string) bool {
	host, _, _ = strings.Cut(host, "%")
	ip := net.ParseIP(host)
	return hosts.IsLoopback(host) || ip != nil && (ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast())
}

// checkDigest returns an error if the registry calls something by another digest than want.
// data is the content if it is at hand.
func (r *reply) checkDigest(want digest.Digest, data []byte) error {
	claimed := digest.Digest(r.Header.Get("Docker-Content-Digest"))
	switch {
	case claimed == "" || claimed == want:
		return nil
	case claimed.Validate() != nil:
	case claimed.Algorithm() != want.Algorithm() && (data == nil || claimed.Algorithm().FromBytes(data) == claimed):
		return nil // by another algorithm
	}
	return &Error{Err: fmt.Errorf("%w: the registry calls it %.100q, it is %s", ErrProtocol, string(claimed), want)}
}

// HasBlob reports whether the registry has b in the repository.
func (t *Target) HasBlob(ctx context.Context, b Blob, notify func(Retry)) (has bool, err error) {
	err = t.c.retry(ctx, notify, func() (err error) {
		has, err = t.hasBlob(ctx, b)
		return err
	})
	return has, err
}

func (t *Target) hasBlob(ctx context.Context, b Blob) (bool, error) {
	u, err := t.url(ctx, "blobs/"+b.Digest.String())
	if err != nil {
		return false, err
	}
	r, err := t.do(ctx, order{method: http.MethodHead, u: u}, http.StatusOK)
	var refused *Error
	switch {
	case err == nil:
		login.Drain(r.Response)
		return b.Size < 0 || r.ContentLength < 0 || r.ContentLength == b.Size, r.checkDigest(b.Digest, nil)
	case !errors.As(err, &refused) || refused.Status < 400:
		return false, err
	case Temporary(err), refused.Status == http.StatusUnauthorized, refused.Status == http.StatusForbidden && refused.Remedy == LogIn:
		return false, err
	}
	return false, nil // that it cannot be asked is no reason not to upload
}

// HasManifest reports whether the registry has a manifest or index by that tag or digest, and
// which digest it states for it; "" if none.
func (t *Target) HasManifest(ctx context.Context, ref string, notify func(Retry)) (has bool, d digest.Digest, err error) {
	err = t.c.retry(ctx, notify, func() error {
		u, err := t.url(ctx, "manifests/"+ref)
		if err != nil {
			return err
		}
		r, err := t.do(ctx, order{method: http.MethodHead, u: u, header: http.Header{"Accept": accepted}}, http.StatusOK)
		if err != nil {
			return err
		}
		login.Drain(r.Response)
		has, d = true, digest.Digest(r.Header.Get("Docker-Content-Digest"))
		return nil
	})
	var refused *Error
	if errors.As(err, &refused) && refused.Status >= 400 && !Temporary(err) && refused.Status != http.StatusUnauthorized {
		return false, "", nil
	}
	if d.Validate() != nil {
		d = ""
	}
	return has, d, err
}

// TagError says that a registry keeps a tag as it is.
type TagError struct {
	Tag string
	Has digest.Digest // what the tag names there
	Err error
}

func (e *TagError) Error() string { return fmt.Sprintf("%v: it names %s there", e.Err, e.Has) }
func (e *TagError) Unwrap() error { return e.Err }

// PutManifest writes a manifest or index under ref, which is its digest or a tag. After
// success the registry has called it by the digest want, or by none. The registry refuses it
// if it lacks what the manifest lists. A tag that the registry keeps as it is, and that names
// want already, is a success; one that names something else is a [*TagError].
func (t *Target) PutManifest(ctx context.Context, ref string, m Manifest, want digest.Digest, notify func(Retry)) error {
	err := t.c.retry(ctx, notify, func() error {
		u, err := t.url(ctx, "manifests/"+ref)
		if err != nil {
			return err
		}
		r, err := t.do(ctx, order{
			method: http.MethodPut, u: u, header: http.Header{"Content-Type": {m.MediaType}}, size: int64(len(m.Data)),
			body: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.Data)), nil },
		}, http.StatusCreated, http.StatusOK, http.StatusAccepted, http.StatusNoContent)
		if err != nil {
			return err
		}
		login.Drain(r.Response)
		return r.checkDigest(want, m.Data)
	})
	var refused *Error
	if errors.As(err, &refused) && ref != want.String() && slices.Contains(keptCodes, refused.Status) {
		switch has, d, herr := t.HasManifest(ctx, ref, notify); {
		case herr != nil || !has || d == "":
		case d == want:
			return nil
		default:
			return &TagError{ref, d, err}
		}
	}
	return err
}

// keptCodes are the answers of registries to a tag that may not be changed.
var keptCodes = []int{http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnprocessableEntity}
