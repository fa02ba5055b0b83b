package oci

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// temporaryError is a failure of the network or of a registry that may not
// happen again: the exit code of a tool says so.
type temporaryError struct{ error }

func (e temporaryError) Unwrap() error { return e.error }

// Temporary reports that a retry may help.
func (temporaryError) Temporary() bool { return true }

// registry reads one repository of a registry.
type registry struct {
	client *http.Client
	repo   name.Repository
}

// openRegistry opens the image that s names in a registry.
func openRegistry(ctx context.Context, s string, opts Options) (*Image, error) {
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") || s == "-" {
		return nil, fmt.Errorf("%s: not the name of an image: write oci:DIR, oci-archive:FILE or docker-archive:FILE for a file", s)
	}
	ref, err := name.ParseReference(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not the name of an image: %w", s, err)
	}
	img, err := fetchImage(ctx, ref, opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	return img, nil
}

func fetchImage(ctx context.Context, ref name.Reference, opts Options) (*Image, error) {
	reg, err := dial(ctx, ref.Context())
	if err != nil {
		return nil, err
	}
	l, err := newLoader(reg, opts)
	if err != nil {
		return nil, err
	}
	if d, ok := ref.(name.Digest); ok {
		return l.load(ctx, descriptor{Digest: digest.Digest(d.DigestStr()), Size: -1})
	}
	d, data, err := reg.resolve(ctx, ref.Identifier(), opts.maxMetadata())
	if err != nil {
		return nil, err
	}
	img, err := l.loadData(ctx, d, data, 0)
	if err != nil {
		return nil, err
	}
	img.Tag = ref.Identifier()
	return img, nil
}

// dial finds out how the registry wants to be spoken to, and logs in with what
// docker's configuration has for it, or anonymously.
func dial(ctx context.Context, repo name.Repository) (*registry, error) {
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repo)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	t, err := transport.NewWithContext(ctx, repo.Registry, auth, http.DefaultTransport, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, explainNetwork(ctx, err)
	}
	return &registry{client: &http.Client{Transport: t}, repo: repo}, nil
}

// resolve fetches the manifest or index that tag names now.
func (r *registry) resolve(ctx context.Context, tag string, max int64) (descriptor, []byte, error) {
	resp, err := r.get(ctx, "manifests", tag)
	if err != nil {
		return descriptor{}, nil, fmt.Errorf("manifest: %w", err)
	}
	defer resp.Body.Close()
	data, err := readLimited(body{ctx, resp.Body}, max)
	if err != nil {
		return descriptor{}, nil, fmt.Errorf("manifest: %w", err)
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	d := descriptor{MediaType: types.MediaType(mediaType), Digest: digest.FromBytes(data), Size: int64(len(data))}
	return d, data, nil
}

func (r *registry) manifest(ctx context.Context, d descriptor) (io.ReadCloser, int64, error) {
	return r.open(ctx, "manifests", d)
}

func (r *registry) blob(ctx context.Context, d descriptor) (io.ReadCloser, int64, error) {
	return r.open(ctx, "blobs", d)
}

func (r *registry) open(ctx context.Context, kind string, d descriptor) (io.ReadCloser, int64, error) {
	resp, err := r.get(ctx, kind, d.Digest.String())
	if err != nil {
		return nil, 0, err
	}
	return body{ctx, resp.Body}, resp.ContentLength, nil
}

// accepted is every kind of manifest that we can read.
var accepted = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1),
	string(types.DockerManifestList), string(types.DockerManifestSchema2),
}, ", ")

func (r *registry) get(ctx context.Context, kind, id string) (*http.Response, error) {
	u := url.URL{
		Scheme: r.repo.Scheme(),
		Host:   r.repo.RegistryStr(),
		Path:   "/v2/" + r.repo.RepositoryStr() + "/" + kind + "/" + id,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "ocipipe")
	req.Header.Set("Accept-Encoding", "identity") // a blob is its bytes
	if kind == "manifests" {
		req.Header.Set("Accept", accepted)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, explainNetwork(ctx, err)
	}
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		resp.Body.Close()
		return nil, explainNetwork(ctx, err)
	}
	return resp, nil
}

// body is what a registry sends. Where it breaks off, trying again may help.
type body struct {
	ctx context.Context
	io.ReadCloser
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = explainNetwork(b.ctx, fmt.Errorf("connection broke off: %w", err))
	}
	return n, err
}

// explainNetwork says what err, which a request gave, means: whether it is worth
// a retry, and what the registry says about it.
func explainNetwork(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var te *transport.Error
	if errors.As(err, &te) {
		return explainStatus(te)
	}
	if isFinal(err) {
		return err
	}
	return temporaryError{err}
}

// isFinal reports whether a request failed for a reason that stays: the name of
// the registry, or what it is.
func isFinal(err error) bool {
	var (
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &cert) || errors.As(err, &record) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

func explainStatus(te *transport.Error) error {
	err := fmt.Errorf("registry: %s (HTTP %d)", registryMessage(te), te.StatusCode)
	switch code := te.StatusCode; {
	case code == http.StatusNotFound:
		return notFoundError{err}
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return temporaryError{err}
	}
	return err
}

// notFoundError is ErrNotFound in the registry's own words.
type notFoundError struct{ error }

func (notFoundError) Is(target error) bool { return target == ErrNotFound }

// registryMessage is what the registry says, in one line that is safe to print.
func registryMessage(te *transport.Error) string {
	var parts []string
	for _, d := range te.Errors {
		parts = append(parts, strings.TrimSuffix(string(d.Code)+": "+d.Message, ": "))
	}
	s := strings.Join(parts, "; ")
	if s == "" {
		s = te.Error()
	}
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return printable(s)
}

// printable is s without what a terminal might obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
