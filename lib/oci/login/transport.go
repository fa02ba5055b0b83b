package login

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// lowerTransport is the http.RoundTripper below package transport, which asks a registry
// for its challenge ("ping"), gets tokens and attaches them. lowerTransport sends the
// caller's requests as they are, and holds those that package transport makes to the rules
// in the package comment. It explains failures, since it knows which host was asked for
// what.
type lowerTransport struct {
	*Login
	scheme    string      // of the registry
	challenge []string    // that a ping is answered with; nil until the registry was asked
	answered  atomic.Bool // the ping was
}

// logIn logs in with the challenge, or first asks for one.
func (b *lowerTransport) logIn(ctx context.Context) (http.RoundTripper, error) {
	var opts []name.Option
	if b.scheme == "http" {
		opts = append(opts, name.Insecure)
	}
	reg, err := name.NewRegistry(b.repo.RegistryStr(), opts...)
	if err != nil {
		return nil, err
	}
	via, err := transport.NewWithContext(ctx, reg, b.auth, b, b.scopes)
	return via, plain(ctx, err)
}

// RoundTrip implements [http.RoundTripper].
func (b *lowerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if isMarked(req) {
		resp, err := b.wire.Send(req)
		if err != nil {
			return nil, &final{err}
		}
		dropLong(resp.Header)
		if req.Body != nil && req.Body != http.NoBody {
			// Package transport would send the request again, whose body has been read. Do
			// makes a new one.
			resp.Header.Del("Www-Authenticate")
		}
		return resp, nil
	}
	req.Header.Del("Referer") // package http sets it, and a realm may be signed
	if err := b.mayAsk(req); err != nil {
		return nil, err
	}
	if b.answered.Load() {
		return b.token(req)
	}
	return b.ping(req)
}

// mayAsk returns an error if package transport may not send req.
func (b *lowerTransport) mayAsk(req *http.Request) error {
	from, host := req.Response, req.URL.Host
	switch {
	case from != nil && from.Request.URL.Scheme == "https" && req.URL.Scheme != "https":
		return &final{StepDown(host)}
	case b.isOther(req):
		return errors.New("asked in another way")
	case host != b.repo.RegistryStr() && strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }):
		// Package http makes ASCII of it: an address in wide digits would pass for a name.
		return &final{fmt.Errorf("%w: the host %q is not ASCII", ErrProtocol, host)}
	}
	return nil
}

// dropLong drops challenges that are longer than maxChallenge, since reading them takes too
// long.
func dropLong(h http.Header) {
	const key = "Www-Authenticate"
	if list := h[key]; list != nil {
		h[key] = slices.DeleteFunc(list, func(c string) bool { return len(c) > maxChallenge })
	}
}

// isOther reports whether req is a ping by the scheme that is not used for the registry.
// Package transport tries both schemes for names of this machine and for private addresses.
func (b *lowerTransport) isOther(req *http.Request) bool {
	return req.Response == nil && req.URL.Scheme != b.scheme && req.URL.Path == "/v2/" && req.URL.Host == b.repo.RegistryStr()
}

// StepDown is the error for a redirect from TLS to plain HTTP.
func StepDown(to string) error {
	return fmt.Errorf("%w: a redirect without TLS, to %q", ErrProtocol, to)
}

// ping answers with the known challenge, or else asks the registry for one. A registry that
// does not answer with a challenge has none.
func (b *lowerTransport) ping(req *http.Request) (*http.Response, error) {
	if b.challenge != nil {
		b.answered.Store(true)
		return &http.Response{StatusCode: http.StatusUnauthorized, Request: req, Body: http.NoBody,
			Header: http.Header{"Www-Authenticate": b.challenge}}, nil
	}
	resp, err := b.bounded(req)
	if err != nil {
		return nil, &final{err}
	}
	switch code := resp.StatusCode; {
	case IsRedirect(resp):
		return checkLocation(resp)
	case code == http.StatusUnauthorized:
		if b.challenge = usable(resp.Header); b.challenge == nil && b.auth != authn.Anonymous && resp.Header.Get("Www-Authenticate") != "" {
			return nil, &final{fmt.Errorf("%w: none of its ways to log in is known", ErrProtocol)}
		}
		resp.Header["Www-Authenticate"] = b.challenge
	case code >= http.StatusInternalServerError, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return nil, &final{b.wire.Refusal("registry", resp)}
	default:
		resp.StatusCode = http.StatusOK
	}
	b.answered.Store(true)
	resp.Request = req.Clone(req.Context()) // package transport takes the scheme from it, which a redirect may have changed
	resp.Request.URL.Scheme = b.scheme
	return resp, nil
}

// maxQuery is the greatest length of the query to a token server, in bytes: package
// transport gathers the scopes of all challenges.
const maxQuery = 16 << 10

// token asks a token server.
func (b *lowerTransport) token(req *http.Request) (*http.Response, error) {
	who := "token server " + req.URL.Host
	if len(req.URL.RawQuery) > maxQuery {
		return nil, &final{fmt.Errorf("%s: %w: it is to be asked for more than %d bytes", who, ErrProtocol, maxQuery)}
	}
	resp, err := b.bounded(req)
	if err != nil {
		return nil, &final{fmt.Errorf("%s: %w", who, err)}
	}
	post := req.Method == http.MethodPost
	switch code := resp.StatusCode; {
	case IsRedirect(resp) && post:
		return nil, &final{fmt.Errorf("%s: %w: it redirects an identity token", who, ErrProtocol)}
	case IsRedirect(resp):
		return checkLocation(resp)
	case post && (code == http.StatusNotFound || code == http.StatusMethodNotAllowed || code == http.StatusNotImplemented):
		resp.StatusCode = http.StatusNotFound // package transport then tries GET
		return resp, nil
	case code != http.StatusOK:
		return nil, &final{b.wire.Refusal(who, resp)}
	}
	token := exactToken(resp.Body)
	if token == "" {
		return nil, &final{fmt.Errorf("%s: %w: it has no token", who, ErrProtocol)}
	}
	b.wire.Secret(token)
	text, err := json.Marshal(transport.Token{Token: token})
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp, err
}

// exactToken returns the token in an answer, under the exact names of the token protocol. A
// decoder that ignores case would also take a field Token, which metadata services of
// clouds have. The time when the token expires does not matter: the registry refuses it by
// its own clock.
func exactToken(body io.Reader) string {
	var all map[string]json.RawMessage
	if json.NewDecoder(body).Decode(&all) != nil {
		return ""
	}
	for _, key := range []string{"token", "access_token"} {
		var value string
		if json.Unmarshal(all[key], &value) == nil && value != "" && !strings.ContainsFunc(value, unicode.IsControl) {
			return value
		}
	}
	return ""
}

// maxAnswer is the greatest length of an answer to a ping or of a token server, in bytes.
const maxAnswer = 64 << 10

// bounded makes an exchange within the time limit, and reads its answer.
func (b *lowerTransport) bounded(req *http.Request) (*http.Response, error) {
	late := fmt.Errorf("nothing came for %s", b.wire.Timeout)
	ctx, cancel := context.WithTimeoutCause(req.Context(), b.wire.Timeout, late)
	defer cancel()
	resp, err := b.wire.Send(req.WithContext(ctx))
	var data []byte
	if err == nil {
		data, err = ReadSome(resp.Body, maxAnswer)
	}
	if context.Cause(ctx) == late { // also if the error came of the time limit
		err = late
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return resp, nil
}

// IsRedirect reports whether resp redirects to another URL.
func IsRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// checkLocation returns the redirect resp, or an error if package http would refuse it:
// that error would show its query, which may be signed.
func checkLocation(resp *http.Response) (*http.Response, error) {
	to, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http" {
		return nil, &final{fmt.Errorf("%s: %w: a redirect to no web address", resp.Request.URL.Host, ErrProtocol)}
	}
	return resp, nil
}

// drainTime is the longest wait for the body of an answer that is not used.
const drainTime = 30 * time.Second

// ReadSome reads the first limit bytes of a body and closes it, after half a minute at the
// latest.
func ReadSome(body io.ReadCloser, limit int64) ([]byte, error) {
	late := time.AfterFunc(drainTime, func() { body.Close() })
	defer late.Stop()
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, limit))
}

// Drain reads the rest of a short body and closes it, so that the connection can be used
// again.
func Drain(resp *http.Response) { ReadSome(resp.Body, maxAnswer) }

// A mark distinguishes the caller's request from those that package transport makes on
// the way, in the same context. It relies on package transport passing the very same
// *http.Request on.
type markKey struct{}

func withMark(ctx context.Context) (context.Context, **http.Request) {
	mark := new(*http.Request)
	return context.WithValue(ctx, markKey{}, mark), mark
}

func isMarked(req *http.Request) bool {
	mark, _ := req.Context().Value(markKey{}).(**http.Request)
	return mark != nil && *mark == req
}
