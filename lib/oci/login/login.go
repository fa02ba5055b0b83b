package login

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Wire makes exchanges with a registry.
type Wire struct {
	Send    func(*http.Request) (*http.Response, error) // makes one exchange, and follows no redirect
	Timeout time.Duration                               // for each request that a login makes
	// Refusal returns the error for an answer of from that is not the wanted one.
	Refusal func(from string, resp *http.Response) error
	// Secret takes texts that must not be shown to anyone.
	Secret func(secrets ...string)
}

// Login gives access to one repository at one host. It is anonymous until the host refuses
// a request; then package transport logs in by the host's challenge. Its methods may be
// called from several goroutines.
type Login struct {
	wire   Wire
	repo   name.Repository // its registry is the host
	scopes []string
	keys   authn.Keychain
	busy   chan struct{} // held while logging in

	failures atomic.Int64
	failure  error // the last one; used with busy held

	mu        sync.Mutex
	auth      authn.Authenticator // nil until looked up
	via       http.RoundTripper   // nil until logged in
	challenge []string            // that the login met
}

// New returns the login to repo at host, HOST or HOST:PORT, for pulling (but see
// ForPush). keys are asked once, when the host first refuses a request.
func New(w Wire, host, repo string, keys authn.Keychain) (*Login, error) {
	reg, err := name.NewRegistry(host)
	if err != nil {
		return nil, err
	}
	l := &Login{wire: w, repo: reg.Repo(repo), keys: keys, busy: make(chan struct{}, 1)}
	l.scopes = []string{l.repo.Scope(transport.PullScope)}
	return l, nil
}

// ForPush makes l a login for pushing too. It must not have been used.
func (l *Login) ForPush() { l.scopes = []string{l.repo.Scope(transport.PushScope)} }

// Mounting returns a login as l, for taking over blobs from the repository from of the same
// host too. A registry may refuse that and still admit l.
func (l *Login) Mounting(from string) *Login {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &Login{wire: l.wire, repo: l.repo, keys: l.keys, auth: l.auth, busy: make(chan struct{}, 1)}
	m.scopes = append(m.scopes, l.scopes...)
	m.scopes = append(m.scopes, l.repo.Registry.Repo(from).Scope(transport.PullScope))
	if !isBearer(l.challenge) { // a password is for all repositories
		m.via, m.challenge = l.via, l.challenge
	}
	return m
}

// Elsewhere returns the login to repo at a host where a redirect has led, or to any URL
// there if repo is "". It has no credentials; a token server may still give tokens to
// anybody.
func Elsewhere(w Wire, host, repo string) (*Login, error) {
	l, err := New(w, host, repo, nil)
	if err != nil {
		return nil, err
	}
	if l.auth = authn.Anonymous; repo == "" {
		l.scopes = nil
	}
	return l, nil
}

// Anonymous reports whether credentials were looked for and not found.
func (l *Login) Anonymous() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.auth == authn.Anonymous
}

// Origin says in words where the credentials are from, such as "from FILE". It returns ""
// if there are none.
func (l *Login) Origin() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, _ := l.auth.(sourced)
	return s.from
}

// maxLogins is how often one request may log in: the token of the first login may have
// expired before it is used.
const maxLogins = 2

// Do sends the request that build makes, and logs in if the host asks for that.
func (l *Login) Do(ctx context.Context, build func(context.Context) (*http.Request, error)) (*http.Response, error) {
	for try := 0; ; try++ {
		via := l.current()
		resp, err := l.send(ctx, via, build)
		if err != nil || try == maxLogins || !isRefusal(resp, via) {
			return resp, err
		}
		again, err := l.renew(ctx, resp, via)
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
		if !again {
			return resp, nil
		}
		Drain(resp)
	}
}

func (l *Login) current() http.RoundTripper {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.via
}

func (l *Login) send(ctx context.Context, via http.RoundTripper, build func(context.Context) (*http.Request, error)) (*http.Response, error) {
	ctx, mark := withMark(ctx)
	req, err := build(ctx)
	if err != nil {
		return nil, err
	}
	if via == nil {
		return l.wire.Send(req)
	}
	*mark = req
	resp, err := via.RoundTrip(req)
	return resp, plain(ctx, err)
}

// isRefusal reports whether logging in, perhaps again, may change the answer. Besides 401
// these are 400 and 403, which some registries send for an expired token, and 404 before a
// login, which hides what anonymous users may not see. A 400 to content that was sent is
// about the content.
func isRefusal(resp *http.Response, via http.RoundTripper) bool {
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	case http.StatusBadRequest:
		return resp.Request == nil || resp.Request.Method != http.MethodPut && resp.Request.Method != http.MethodPatch
	}
	return resp.StatusCode == http.StatusNotFound && via == nil
}

// renew logs in after resp has refused a request by old, and reports whether to try again.
func (l *Login) renew(ctx context.Context, resp *http.Response, old http.RoundTripper) (bool, error) {
	before := l.failures.Load()
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	switch {
	case l.current() != old:
		return true, nil // another goroutine has logged in
	case l.failures.Load() != before:
		return false, l.failure // another goroutine has failed to log in; that need not be repeated
	}
	if err := l.lookUp(ctx); err != nil {
		return false, err
	}
	challenge := usable(resp.Header)
	if challenge == nil && old != nil {
		challenge = l.challenge // the token has expired, and the registry does not say so by a challenge
	}
	if !l.promises(resp, challenge, old) {
		return false, nil
	}
	b := &lowerTransport{Login: l, scheme: resp.Request.URL.Scheme, challenge: challenge}
	via, err := b.logIn(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.failure = err
			l.failures.Add(1)
		}
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.via, l.challenge = via, b.challenge
	return true, nil
}

// promises reports whether a login may give more access than old. It meets challenge or, if
// that is nil, the answer to a ping.
func (l *Login) promises(resp *http.Response, challenge []string, old http.RoundTripper) bool {
	anonymous := l.auth == authn.Anonymous
	switch {
	case old != nil:
		return isBearer(challenge) // a password is the same the next time
	case challenge != nil:
		return !anonymous || isBearer(challenge)
	}
	return l.keys != nil && (!anonymous || resp.StatusCode == http.StatusUnauthorized)
}

// lookUp finds the credentials, once.
func (l *Login) lookUp(ctx context.Context) error {
	if l.auth != nil {
		return nil
	}
	auth, err := authn.Resolve(ctx, l.keys, l.repo)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	cred, err := authn.Authorization(ctx, auth)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	l.wire.Secret(cred.Password, cred.IdentityToken, cred.RegistryToken, basicAuth(cred.Username, cred.Password))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.auth = auth
	return nil
}

func basicAuth(username, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
}

// maxChallenge is the greatest length of a challenge, in bytes; longer ones are ignored.
const maxChallenge = 8 << 10

// usable returns the challenges of h that can be met, the best first. Those with a token
// server come before those for a password: a token server gives tokens to anonymous users
// too.
func usable(h http.Header) []string {
	var tokens, passwords []string
	for _, c := range h.Values("WWW-Authenticate") {
		scheme, params, _ := strings.Cut(strings.ToLower(c), " ")
		switch {
		case len(c) > maxChallenge:
		case scheme == "bearer" && strings.Contains(params, "realm="):
			tokens = append(tokens, c)
		case scheme == "basic":
			passwords = append(passwords, c)
		}
	}
	return append(tokens, passwords...)
}

func isBearer(challenge []string) bool {
	return len(challenge) > 0 && strings.EqualFold(challenge[0][:min(len(challenge[0]), len("bearer"))], "bearer")
}
