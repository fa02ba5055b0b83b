package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"ocipipe/lib/oci/conn"
	"ocipipe/lib/oci/hosts"
)

// Defaults of Options.
const (
	DefaultRetries     = 5
	DefaultConnections = 6
	DefaultTimeout     = 30 * time.Second
)

// Options say how to speak to registries. The zero value is useful.
type Options struct {
	// Username and Password log in to the registry in the image's name, in place of
	// AuthFiles. They are not sent to its mirrors, to hosts that it redirects to, or to a
	// registry that Configs put in its place.
	Username, Password string
	// AuthFiles are configuration files of docker or podman. The first that has
	// credentials for a repository counts. Files that do not exist are skipped.
	AuthFiles []string

	// Certs say which authorities to trust, and which certificates to show.
	Certs hosts.Options
	// Configs are files and directories as [hosts.Find] reads them.
	Configs []string

	// Insecure allows plain HTTP to a server that does not speak TLS. To names of this
	// machine (localhost, 127.0.0.1, ::1) it is always allowed.
	Insecure bool
	// Mirrors are asked before those of Configs, in order:
	// [http://]HOST[:PORT][/PREFIX].
	Mirrors []string

	Retries     int           // attempts after the first; 0 is DefaultRetries, negative none
	Connections int           // for blobs, at most; 0 is DefaultConnections
	Timeout     time.Duration // how long the other side may be silent; 0 is DefaultTimeout
	UserAgent   string        // "" is ocipipe

	Warn func(msg string) // takes messages to the user; nil drops them
}

// Client holds the connections, secrets and slots that requests share.
type Client struct {
	opts      Options
	conns     *conn.Conns
	retries   int
	timeout   time.Duration
	slots     chan struct{} // one for each connection that a blob may use
	joinAfter time.Duration

	// Tests replace these.
	adapt func(*http.Transport)
	now   func() time.Time
	sleep func(context.Context, time.Duration) bool

	mu      sync.Mutex
	secrets []string
}

// New makes a client.
func New(opts Options) (*Client, error) {
	certs, err := hosts.LoadCerts(opts.Certs)
	if err != nil {
		return nil, err
	}
	c := &Client{opts: opts, retries: opts.Retries, timeout: opts.Timeout, joinAfter: joinAfter, adapt: func(*http.Transport) {}, now: time.Now, sleep: sleep}
	switch {
	case c.retries == 0:
		c.retries = DefaultRetries
	case c.retries < 0:
		c.retries = 0
	}
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	n := opts.Connections
	if n <= 0 {
		n = DefaultConnections
	}
	c.slots = make(chan struct{}, n)
	if c.opts.UserAgent == "" {
		c.opts.UserAgent = "ocipipe"
	}
	c.keepSecret(opts.Password)
	c.conns = conn.New(conn.Options{Certs: certs, Timeout: c.timeout, Idle: n + 2, UserAgent: c.opts.UserAgent,
		Adapt: func(t *http.Transport) { c.adapt(t) }})
	return c, nil
}

// Close drops idle connections. Bodies that are being read go on.
func (c *Client) Close() { c.conns.Close() }

func (c *Client) warn(format string, args ...any) {
	if c.opts.Warn != nil {
		c.opts.Warn(fmt.Sprintf(format, args...))
	}
}

// keepSecret makes scrub strike secrets out, in the forms in which servers see them.
func (c *Client) keepSecret(secrets ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range secrets {
		for _, form := range []string{s, strings.TrimRight(s, "="), url.QueryEscape(s)} {
			if len(s) >= 4 && !slices.Contains(c.secrets, form) { // a shorter one would strike out harmless text
				c.secrets = append(c.secrets, form)
			}
		}
	}
}

// hide returns err with all secrets struck out.
func (c *Client) hide(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := c.scrub(text)
	if clean == text {
		return err
	}
	hidden := Error{}
	if e := (*Error)(nil); errors.As(err, &e) {
		hidden = *e
	}
	hidden.Err = &hiddenError{clean, err}
	return &hidden
}

// hiddenError is an error with a text that has no secrets.
type hiddenError struct {
	text string
	error
}

func (h *hiddenError) Error() string { return h.text }
func (h *hiddenError) Unwrap() error { return h.error }

// scrub strikes the secrets out of s, which a server may have sent back.
func (c *Client) scrub(s string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range c.secrets {
		s = strings.ReplaceAll(s, secret, "***")
	}
	return s
}

// acquire takes a slot; release gives it back.
func (c *Client) acquire(ctx context.Context) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Client) release() { <-c.slots }
