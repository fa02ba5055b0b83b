package registry

import (
	"context"
	_ "crypto/sha256" // digests are of either kind
	_ "crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/hosts"
	"ocipipe/lib/oci/login"
)

// Repository is one repository of a registry, and of its mirrors.
type Repository struct {
	c       *Client
	mirrors []*endpoint
	origin  *endpoint
}

// Repository returns the repository of ref, at the host that the configurations name for
// it. They choose mirrors by the tag or digest of ref too.
func (c *Client) Repository(ref name.Reference) (*Repository, error) {
	files := &login.Files{Paths: c.opts.AuthFiles, Warn: c.opts.Warn}
	origin, route, err := c.origin(ref, files)
	if err != nil {
		return nil, err
	}
	r := &Repository{c: c, origin: origin}
	var mirrors []hosts.Endpoint
	for _, m := range c.opts.Mirrors {
		at, err := hosts.ParseMirror(m, ref.Context().RepositoryStr())
		if err != nil {
			return nil, err
		}
		mirrors = append(mirrors, at)
	}
	for _, m := range append(mirrors, route.Mirrors...) {
		e := c.endpoint(m)
		e.isMirror = true
		if err := e.logIn(files); err != nil {
			return nil, err
		}
		r.mirrors = append(r.mirrors, e)
	}
	return r, nil
}

// origin returns the endpoint for ref that is no mirror, and the route to it.
func (c *Client) origin(ref name.Reference, files *login.Files) (*endpoint, hosts.Route, error) {
	route, err := hosts.Find(c.opts.Configs, ref, func(msg string) { c.warn("%s", msg) })
	if err != nil {
		return nil, route, err
	}
	e := c.endpoint(route.Origin)
	e.named = e.host == ref.Context().RegistryStr()
	e.missing.NotAsked = route.Unasked
	var keys authn.Keychain = files
	switch {
	case c.opts.Username == "":
	case e.named:
		keys = login.Password{Username: c.opts.Username, Password: c.opts.Password}
	default:
		e.missing = MissingLogin{UsernameFor: ref.Context().RegistryStr(), ReplacedBy: route.File}
	}
	return e, route, e.logIn(keys)
}

// maxStrikes is after how many broken connections a mirror is not asked again.
const maxStrikes = 3

// firstAnswer asks the mirrors and then the registry, until one answers with one of the
// codes and use accepts the answer. use closes the answer. If a mirror sends something
// wrong, the registry is asked. A mirror that sends no ranges is asked again without them.
func (r *Repository) firstAnswer(ctx context.Context, method, kind, id string, h http.Header, use func(*answer) error, codes ...int) (err error) {
	defer func() { err = r.c.hide(err) }()
	for _, e := range r.mirrors {
		if e.strikes.Load() >= maxStrikes {
			continue
		}
		a, err := e.expect(ctx, method, kind, id, h, codes)
		if err == nil {
			err = use(a)
		}
		if err == nil {
			e.used.Store(true)
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, errRange) {
			return err
		}
		if !errors.Is(err, ErrNotFound) && e.strikes.Swap(maxStrikes) < maxStrikes {
			r.c.warn("mirror %s: asking %s", r.c.scrub(nameMirror(e, err)), r.origin.host)
		}
	}
	a, err := r.origin.expect(ctx, method, kind, id, h, codes)
	if err != nil {
		return err
	}
	return use(a)
}

// nameMirror returns the text of err, with the host of e before it, once.
func nameMirror(e *endpoint, err error) string {
	if text := err.Error(); strings.HasPrefix(text, e.host+": ") {
		return text
	}
	return e.host + ": " + err.Error()
}

// Mirrors returns the hosts of the mirrors that have answered. They may be to blame if a
// blob does not have its digest.
func (r *Repository) Mirrors() (hosts []string) {
	for _, e := range r.mirrors {
		if e.used.Load() {
			hosts = append(hosts, e.host)
		}
	}
	return hosts
}

// expect asks one registry or mirror. Its answer must have one of the codes.
func (e *endpoint) expect(ctx context.Context, method, kind, id string, h http.Header, codes []int) (*answer, error) {
	a, err := e.send(ctx, method, "/v2/"+e.repo+"/"+kind+"/"+id, h)
	if err != nil {
		return nil, e.advise(err)
	}
	if slices.Contains(codes, a.StatusCode) {
		return a, nil
	}
	defer login.Drain(a.Response)
	if a.host != e.host {
		return nil, e.c.refusal(a.host, a.Response)
	}
	from := "registry"
	if e.isMirror {
		from = a.host
	}
	return nil, e.advise(e.c.refusal(from, a.Response))
}

// advise adds to the error for a refusal which credentials were refused, or that there were
// none. It changes a copy: requests that waited for one token have the same error.
func (e *endpoint) advise(err error) error {
	var refused *Error
	if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized && refused.Status != http.StatusForbidden {
		return err
	}
	advised := *refused
	if from := e.login.Origin(); err != error(refused) { // a server of tokens refused, whose error says enough
		advised.Err = err
	} else if from != "" && refused.Status == http.StatusUnauthorized {
		advised.Err = fmt.Errorf("%w: the credentials %s were refused", advised.Err, from)
	} else if from != "" {
		advised.Err = fmt.Errorf("%w: with the credentials %s", advised.Err, from)
	}
	if e.login.Anonymous() {
		advised.Remedy, advised.Missing = LogIn, e.missing
		advised.Missing.Host = e.host
	}
	return &advised
}

// Manifest is a manifest or an index as a registry sent it.
type Manifest struct {
	Data      []byte
	MediaType string // from the registry, without parameters
}

// accepted lists every kind of manifest that a reader of images can use.
var accepted = []string{strings.Join([]string{
	"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
}, ", ")}

// ErrTooLarge is in the error for a manifest that is larger than allowed.
var ErrTooLarge = errors.New("too large")

// Manifest fetches the manifest or index that ref, a tag or a digest, names now. It is an
// error if it has more than limit bytes. The caller verifies its digest; Manifest only
// checks that the answer to a tag has the digest that the registry states with it.
func (r *Repository) Manifest(ctx context.Context, ref string, limit int64, notify func(Retry)) (Manifest, error) {
	var m Manifest
	err := r.c.retry(ctx, notify, func() (err error) {
		m, err = r.manifest(ctx, ref, limit)
		return err
	})
	return m, err
}

func (r *Repository) manifest(ctx context.Context, ref string, limit int64) (m Manifest, err error) {
	err = r.firstAnswer(ctx, http.MethodGet, "manifests", ref, http.Header{"Accept": accepted}, func(a *answer) error {
		defer a.Body.Close()
		m, err = readManifest(a, ref, limit)
		return err
	}, http.StatusOK)
	return m, err
}

func readManifest(a *answer, ref string, limit int64) (Manifest, error) {
	data, err := io.ReadAll(io.LimitReader(a.Body, limit+1))
	if err != nil {
		return Manifest{}, err
	}
	if int64(len(data)) > limit {
		return Manifest{}, &Error{Err: fmt.Errorf("%w: longer than %d bytes", ErrTooLarge, limit)}
	}
	claimed, asked := digest.Digest(a.Header.Get("Docker-Content-Digest")), digest.Digest(ref)
	if asked.Validate() == nil {
		claimed = ""
	}
	if claimed.Validate() == nil && claimed.Algorithm().FromBytes(data) != claimed {
		return Manifest{}, &Error{Err: fmt.Errorf("%w: the registry sent %s and calls it %s", ErrProtocol, claimed.Algorithm().FromBytes(data), claimed)}
	}
	if a.from.isMirror && !isManifest(data, asked) {
		return Manifest{}, &Error{Err: fmt.Errorf("%w: what it sent is not the manifest", ErrProtocol)}
	}
	mediaType, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	return Manifest{data, mediaType}, nil
}

// isManifest reports whether data is a manifest or index, and not what a captive portal
// sends. If asked is a digest, data must have it.
func isManifest(data []byte, asked digest.Digest) bool {
	if asked.Validate() == nil {
		return asked.Algorithm().FromBytes(data) == asked
	}
	var m struct {
		SchemaVersion int `json:"schemaVersion"`
	}
	return json.Unmarshal(data, &m) == nil && m.SchemaVersion > 0
}

// Resolve asks which digest tag has now, without fetching the manifest. It returns "" if
// the registry does not say. The digest is not verified.
func (r *Repository) Resolve(ctx context.Context, tag string, notify func(Retry)) (digest.Digest, error) {
	var d digest.Digest
	err := r.c.retry(ctx, notify, func() error {
		return r.firstAnswer(ctx, http.MethodHead, "manifests", tag, http.Header{"Accept": accepted}, func(a *answer) error {
			login.Drain(a.Response)
			d = digest.Digest(a.Header.Get("Docker-Content-Digest"))
			return nil
		}, http.StatusOK)
	})
	if err != nil || d.Validate() != nil {
		return "", err
	}
	return d, nil
}
