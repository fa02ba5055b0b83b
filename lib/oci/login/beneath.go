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

// beneath is what lies under package transport, which asks a registry for its
// challenge ("ping"), gets tokens and attaches them. The caller's requests pass; its
// own are held to the rules in the package comment. What fails is explained here,
// where it is known who was asked for what.
type beneath struct {
	*Login
	scheme    string   // of the registry
	challenge []string // what a ping answers; nil until the registry was asked
	answered  atomic.Bool
}

// logIn meets the challenge, or asks for one.
func (b *beneath) logIn(ctx context.Context) (http.RoundTripper, error) {
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
func (b *beneath) RoundTrip(req *http.Request) (*http.Response, error) {
	if isMarked(req) {
		resp, err := b.wire.Send(req)
		if err != nil {
			return nil, &final{err}
		}
		dropLong(resp.Header)
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

// mayAsk reports why package transport may not send req.
func (b *beneath) mayAsk(req *http.Request) error {
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

// dropLong drops challenges that cost more to read than they are worth.
func dropLong(h http.Header) {
	const key = "Www-Authenticate"
	if list := h[key]; list != nil {
		h[key] = slices.DeleteFunc(list, func(c string) bool { return len(c) > maxChallenge })
	}
}

// isOther reports whether req is a ping by the scheme that the registry is not asked
// by: of names of this machine and of private addresses package transport tries both.
func (b *beneath) isOther(req *http.Request) bool {
	return req.Response == nil && req.URL.Scheme != b.scheme && req.URL.Path == "/v2/" && req.URL.Host == b.repo.RegistryStr()
}

// StepDown is the error for a redirect from TLS to plain HTTP.
func StepDown(to string) error {
	return fmt.Errorf("%w: a redirect without TLS, to %q", ErrProtocol, to)
}

// ping answers with the challenge that is known, or else with the registry's. A
// registry that answers otherwise has none.
func (b *beneath) ping(req *http.Request) (*http.Response, error) {
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
	resp.Request = req.Clone(req.Context()) // which says how the registry is asked, whatever has redirected
	resp.Request.URL.Scheme = b.scheme
	return resp, nil
}

// maxQuery bounds what a token server is asked, in bytes: package transport gathers
// the scopes of all challenges.
const maxQuery = 16 << 10

// token asks a token server.
func (b *beneath) token(req *http.Request) (*http.Response, error) {
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
		resp.StatusCode = http.StatusNotFound // on which package transport tries GET
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

// exactToken is the token in an answer, under the names that the token protocol has:
// what ignores case would take what others call Token, as metadata services of
// clouds do. When it expires does not matter: the registry says so, by its own clock.
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

// maxAnswer bounds what a ping and a token server may answer, in bytes.
const maxAnswer = 64 << 10

// bounded is an exchange whose answer was read.
func (b *beneath) bounded(req *http.Request) (*http.Response, error) {
	late := fmt.Errorf("nothing came for %s", b.wire.Timeout)
	ctx, cancel := context.WithTimeoutCause(req.Context(), b.wire.Timeout, late)
	defer cancel()
	resp, err := b.wire.Send(req.WithContext(ctx))
	var data []byte
	if err == nil {
		data, err = ReadSome(resp.Body, maxAnswer)
	}
	if context.Cause(ctx) == late { // also where the end came of that
		err = late
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return resp, nil
}

// IsRedirect reports whether resp says where else to ask.
func IsRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// checkLocation passes a redirect on, but for one that package http would refuse, and
// show with its query, which may be signed.
func checkLocation(resp *http.Response) (*http.Response, error) {
	to, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http" {
		return nil, &final{fmt.Errorf("%s: %w: a redirect to no web address", resp.Request.URL.Host, ErrProtocol)}
	}
	return resp, nil
}

// drainTime is the longest wait for the body of an answer that is not the wanted one.
const drainTime = 30 * time.Second

// ReadSome reads the first limit bytes of a body and closes it, after half a minute in
// any case.
func ReadSome(body io.ReadCloser, limit int64) ([]byte, error) {
	late := time.AfterFunc(drainTime, func() { body.Close() })
	defer late.Stop()
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, limit))
}

// Drain reads what little there is of a body and closes it, so that the connection
// can be used again.
func Drain(resp *http.Response) { ReadSome(resp.Body, maxAnswer) }

// A mark tells the caller's request from those that package transport makes on the
// way, in the same context. It relies on being handed the very request that went in.
type markKey struct{}

func withMark(ctx context.Context) (context.Context, **http.Request) {
	mark := new(*http.Request)
	return context.WithValue(ctx, markKey{}, mark), mark
}

func isMarked(req *http.Request) bool {
	mark, _ := req.Context().Value(markKey{}).(**http.Request)
	return mark != nil && *mark == req
}
