package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// maxLogins is how often one request may log in: the token of the first may have
// expired when it is used.
const maxLogins = 2

// maxToken bounds the answer of a token server.
const maxToken = 1 << 20

// login is how to get into one host.
type login struct {
	c       *Client
	u       url.URL   // scheme and host
	from    *endpoint // non-nil if this is a registry, not where a redirect led
	scope   string
	busy    chan struct{} // held while logging in
	offered *challenge    // the last one that was used
	pinged  bool

	mu   sync.Mutex
	cred *Credential // nil until it was looked up, with busy held
	auth string      // the header; "" is anonymous
}

// mayLogIn reports whether credentials may go to u, where e is or has redirected:
// never in the clear, unless that is allowed of the host.
func (e *endpoint) mayLogIn(u *url.URL) bool {
	switch {
	case e == nil: // it is a URL from a manifest
		return false
	case u.Host == e.host:
		return slices.Contains(e.schemes(), u.Scheme)
	}
	return u.Scheme == "https" || e.c.opts.Insecure || isLoopback(u.Host)
}

// login returns that of the host of u.
func (c *Client) login(u *url.URL, from *endpoint) *login {
	key := u.Scheme + "://" + u.Host
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.logins[key]
	if l == nil {
		l = &login{c: c, u: url.URL{Scheme: u.Scheme, Host: u.Host}, busy: make(chan struct{}, 1)}
		if from.host == u.Host {
			l.from = from
		}
		if name, ok := repositoryOf(u.Path); ok {
			l.scope = "repository:" + name + ":pull"
		}
		c.logins[key] = l
	}
	return l
}

// repositoryOf is the repository that path, of an API request, is about.
func repositoryOf(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	for _, kind := range []string{"/manifests/", "/blobs/"} {
		if i := strings.LastIndex(rest, kind); ok && i > 0 {
			return rest[:i], true
		}
	}
	return "", false
}

func (l *login) header() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.auth
}

// isRefusal reports whether logging in, perhaps anew, may change the answer.
// Besides 401 that is 400 and 403, with which some registries meet an expired
// token, and without one 404, which hides what one may not see.
func (l *login) isRefusal(resp *http.Response, auth string) bool {
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return true
	case http.StatusForbidden, http.StatusBadRequest:
		return l.from != nil || len(resp.Header.Values("WWW-Authenticate")) > 0
	case http.StatusNotFound:
		return l.from != nil && auth == ""
	}
	return false
}

// renew gets a new authorization after resp has refused the old one, and reports
// whether to try again.
func (l *login) renew(ctx context.Context, resp *http.Response, old string) (bool, error) {
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	if l.header() != old {
		return true, nil // somebody else did
	}
	if err := l.lookUp(ctx); err != nil {
		return false, err
	}
	ch := usable(parseChallenges(resp.Header.Values("WWW-Authenticate")))
	switch {
	case ch != nil:
	case resp.StatusCode == http.StatusUnauthorized && l.offered == nil,
		l.offered == nil && *l.cred != Credential{}:
		var err error
		if ch, err = l.ping(ctx); err != nil || ch == nil {
			return false, err
		}
	case old == "" || l.offered == nil || l.offered.scheme == "basic":
		return false, nil
	default:
		ch = l.offered // the token has expired, and the registry says it oddly
	}
	auth, err := l.answer(ctx, ch)
	if err != nil || auth == "" || auth == old {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.auth, l.offered = auth, ch
	return true, nil
}

// usable is the first challenge that we can meet: of those with a token server, of
// which the anonymous get a token too, before those for a password.
func usable(list []challenge) *challenge {
	var password *challenge
	for _, ch := range list {
		switch {
		case ch.scheme == "bearer" && ch.params["realm"] != "":
			return &ch
		case ch.scheme == "basic" && password == nil:
			password = &ch
		}
	}
	return password
}

// ping asks for the challenge that a registry did not send with its refusal.
// One that has none is offered what we have.
func (l *login) ping(ctx context.Context) (*challenge, error) {
	if l.pinged || l.from == nil {
		return nil, nil
	}
	l.pinged = true
	u := l.u
	u.Path = "/v2/"
	resp, err := l.c.send(ctx, http.MethodGet, &u, nil, "", nil)
	if err != nil {
		return nil, err
	}
	defer drain(resp)
	ch := usable(parseChallenges(resp.Header.Values("WWW-Authenticate")))
	if ch == nil {
		ch = &challenge{scheme: "basic"}
	}
	return ch, nil
}

// lookUp finds the credentials of the host, once.
func (l *login) lookUp(ctx context.Context) error {
	if l.cred != nil {
		return nil
	}
	cred := Credential{}
	var err error
	switch {
	case l.from != nil && !l.from.isMirror && l.c.opts.Username != "":
		cred = Credential{Username: l.c.opts.Username, Password: l.c.opts.Password}
	default:
		name, _ := strings.CutPrefix(strings.TrimSuffix(l.scope, ":pull"), "repository:")
		cred, err = l.c.credential(ctx, l.u.Host, name)
	}
	if err != nil {
		return &Error{Err: fmt.Errorf("credentials: %w", err)}
	}
	for _, s := range []string{cred.Password, cred.IdentityToken, cred.RegistryToken, basic(cred)} {
		l.c.keepSecret(strings.TrimPrefix(s, "Basic "))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cred = &cred
	return nil
}

func basic(cred Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(cred.Username+":"+cred.Password))
}

// answer is the header that meets ch; "" if there is none.
func (l *login) answer(ctx context.Context, ch *challenge) (string, error) {
	switch {
	case l.cred.RegistryToken != "":
		return "Bearer " + l.cred.RegistryToken, nil
	case ch.scheme == "basic" && l.cred.Username == "":
		return "", nil
	case ch.scheme == "basic":
		return basic(*l.cred), nil
	}
	token, err := l.token(ctx, ch)
	if err != nil {
		return "", err
	}
	l.c.keepSecret(token)
	return "Bearer " + token, nil
}

// token gets one from the server that ch names.
func (l *login) token(ctx context.Context, ch *challenge) (string, error) {
	realm, err := url.Parse(ch.params["realm"])
	if err != nil || realm.Host == "" || realm.Scheme != "https" && realm.Scheme != "http" {
		return "", &Error{Err: fmt.Errorf("%s: %w: names no token server", l.u.Host, ErrProtocol)}
	}
	if realm.Scheme == "http" && l.u.Scheme == "https" {
		return "", &Error{Err: fmt.Errorf("%s: %w: its token server %s is to be asked without TLS", l.u.Host, ErrProtocol, realm.Host)}
	}
	realm.User = nil
	q := url.Values{}
	if s := ch.params["service"]; s != "" {
		q.Set("service", s)
	}
	if s := ch.params["scope"]; s != "" {
		q.Set("scope", s)
	} else if l.scope != "" {
		q.Set("scope", l.scope)
	}
	if l.cred.IdentityToken != "" {
		token, err := l.post(ctx, realm, q)
		var e *Error
		if !errors.As(err, &e) || e.Status != http.StatusNotFound && e.Status != http.StatusMethodNotAllowed {
			return token, err
		}
	}
	return l.get(ctx, realm, q)
}

// post exchanges an identity token, as OAuth 2 has it.
func (l *login) post(ctx context.Context, realm *url.URL, q url.Values) (string, error) {
	q.Set("grant_type", "refresh_token")
	q.Set("client_id", "ocipipe")
	q.Set("refresh_token", l.cred.IdentityToken)
	resp, err := l.c.send(ctx, http.MethodPost, realm, nil, "", q)
	if err != nil {
		return "", fmt.Errorf("token server %s: %w", realm.Host, explain(ctx, err))
	}
	defer drain(resp)
	return l.readToken(resp, realm.Host)
}

// get logs in with a password, or anonymously.
func (l *login) get(ctx context.Context, realm *url.URL, q url.Values) (string, error) {
	all := realm.Query()
	for _, k := range []string{"service", "scope"} {
		if q.Has(k) {
			all.Set(k, q.Get(k))
		}
	}
	auth := ""
	if l.cred.Username != "" && l.cred.Password != "" {
		all.Set("account", l.cred.Username)
		auth = basic(*l.cred)
	}
	realm.RawQuery = all.Encode()
	at := realm
	for range maxRedirects {
		if at.Host != realm.Host || at.Scheme != realm.Scheme {
			auth = ""
		}
		resp, err := l.c.send(ctx, http.MethodGet, at, nil, auth, nil)
		if err != nil {
			return "", fmt.Errorf("token server %s: %w", at.Host, explain(ctx, err))
		}
		next, err := at.Parse(resp.Header.Get("Location"))
		if resp.StatusCode/100 != 3 || err != nil {
			defer drain(resp)
			return l.readToken(resp, at.Host)
		}
		drain(resp)
		at = next
	}
	return "", &Error{Err: fmt.Errorf("token server %s: %w: more than %d redirects", realm.Host, ErrProtocol, maxRedirects)}
}

// readToken takes the token out of an answer. When it expires does not matter:
// the registry says so, by its own clock.
func (l *login) readToken(resp *http.Response, host string) (string, error) {
	if resp.StatusCode != http.StatusOK {
		e := l.c.refusal("token server "+host, resp)
		l.advise(e)
		return "", e
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return "", fmt.Errorf("token server %s: %w", host, err)
	}
	var t struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(data, &t); err != nil || t.Token == "" && t.AccessToken == "" {
		return "", &Error{Err: fmt.Errorf("token server %s: %w: it has no token", host, ErrProtocol)}
	}
	if t.Token == "" {
		t.Token = t.AccessToken
	}
	return t.Token, nil
}

// advise adds a hint to a refusal of who has not logged in.
func (l *login) advise(e *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) && l.cred != nil && *l.cred == (Credential{}) {
		e.hint = fmt.Sprintf("no credentials for %s were found: docker login or podman login stores them, --authfile FILE names others", l.u.Host)
	}
}
