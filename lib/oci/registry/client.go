package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultRetries     = 5
	DefaultConnections = 6
	DefaultTimeout     = 30 * time.Second
)

// Options say how registries are spoken to. The zero value is useful.
type Options struct {
	// Username and Password log in to the registry, not to its mirrors or to
	// where it redirects; AuthFiles are not asked for it then.
	Username, Password string
	// AuthFiles are configuration files of docker or podman. The first that
	// knows a host counts; one that does not exist is skipped.
	AuthFiles []string

	CACert                string // file of PEM certificates that are trusted besides the system's
	ClientCert, ClientKey string // files of PEM; both or neither

	// Insecure allows plain HTTP where a server does not speak TLS. For names of
	// this machine (localhost, 127.0.0.1, ::1) that is always allowed.
	Insecure bool
	// Mirrors are asked first, in order: [http://]HOST[:PORT][/PREFIX].
	Mirrors []string

	Retries     int           // attempts after the first; 0 is DefaultRetries, negative none
	Connections int           // at most, for blobs; 0 is DefaultConnections
	Timeout     time.Duration // without a sign from the other side; 0 is DefaultTimeout
	UserAgent   string        // "" is ocipipe

	Warn func(msg string) // takes messages to the user; nil drops them
}

// Client holds what requests share: connections, logins, slots.
type Client struct {
	opts      Options
	transport http.RoundTripper
	retries   int
	timeout   time.Duration
	slots     chan struct{} // one for each connection that a blob may use
	joinAfter time.Duration

	// Tests put their own here.
	now   func() time.Time
	sleep func(context.Context, time.Duration) bool

	mu      sync.Mutex
	secrets []string
}

// New makes a client.
func New(opts Options) (*Client, error) {
	conf, err := tlsConfig(opts)
	if err != nil {
		return nil, err
	}
	c := &Client{opts: opts, retries: opts.Retries, timeout: opts.Timeout, joinAfter: joinAfter, now: time.Now, sleep: sleep}
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
	c.transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: c.timeout}).DialContext,
		TLSClientConfig:       conf, // which also keeps HTTP/2 off
		TLSHandshakeTimeout:   c.timeout,
		ResponseHeaderTimeout: c.timeout,
		MaxIdleConnsPerHost:   n + 2,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // a blob is its bytes
		ReadBufferSize:        64 << 10,

		MaxResponseHeaderBytes: 256 << 10,
	}
	return c, nil
}

// Close drops idle connections. Bodies that are being read go on.
func (c *Client) Close() {
	if t, ok := c.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

func tlsConfig(opts Options) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if opts.CACert != "" {
		pem, err := os.ReadFile(opts.CACert)
		if err != nil {
			return nil, err
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in PEM form in it", opts.CACert)
		}
		conf.RootCAs = pool
	}
	if (opts.ClientCert == "") != (opts.ClientKey == "") {
		return nil, errors.New("a client certificate needs its key, and a key its certificate")
	}
	if opts.ClientCert != "" {
		cert, err := tls.LoadX509KeyPair(opts.ClientCert, opts.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", opts.ClientCert, err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

func (c *Client) warn(format string, args ...any) {
	if c.opts.Warn != nil {
		c.opts.Warn(fmt.Sprintf(format, args...))
	}
}

// keepSecret makes scrub strike these out, in the forms that servers see.
func (c *Client) keepSecret(secrets ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range secrets {
		for _, form := range []string{s, strings.TrimRight(s, "="), url.QueryEscape(s)} {
			if len(s) >= 4 && !slices.Contains(c.secrets, form) { // less would strike out innocent letters
				c.secrets = append(c.secrets, form)
			}
		}
	}
}

// hide is err without secrets, wherever they come from.
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

// hiddenError is an error in other words.
type hiddenError struct {
	text string
	error
}

func (h *hiddenError) Error() string { return h.text }
func (h *hiddenError) Unwrap() error { return h.error }

// scrub is s without secrets, which a server may send back.
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
