// Package conn makes single exchanges with registries and with the hosts that they name.
// It keeps connections, separately for hosts that need other certificates, and notices
// when a connection stalls, in either direction. It does not follow redirects, and does not
// log in.
package conn

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"ocipipe/lib/oci/hosts"
)

// Options say how connections are made.
type Options struct {
	Certs     *hosts.Certs
	Timeout   time.Duration // how long the other side may be silent
	Idle      int           // how many idle connections to a host are kept
	UserAgent string
	// Adapt, unless it is nil, changes transports before they are used.
	Adapt func(*http.Transport)
}

// Conns holds connections. Its methods may be called from several goroutines.
type Conns struct {
	opts Options

	// A host with certificates of its own has one transport for each kind of Peer. All
	// other hosts share one, or two where some are not verified.
	mu   sync.Mutex
	made map[hosts.Peer]*http.Transport
}

// New returns a Conns without connections.
func New(opts Options) *Conns {
	return &Conns{opts: opts, made: map[hosts.Peer]*http.Transport{}}
}

// FileError is an error about a file of certificates. No request was sent.
type FileError struct{ error }

// Unwrap returns the error of the file.
func (e FileError) Unwrap() error { return e.error }

// Send makes an exchange with p on one connection. The caller closes the body of the
// answer. A Read of the body fails if nothing comes for Options.Timeout.
//
// Send fails if the other side does not take the next bytes of the body of req for
// Options.Timeout, and if no answer begins for so long after the last one, or for the time
// that [Patiently] has put into the context. Time that the body of req takes does not count.
func (c *Conns) Send(req *http.Request, p hosts.Peer) (*http.Response, error) {
	via, err := c.transport(p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	s := newSending(ctx, c.opts.Timeout, cancel)
	own := req.Clone(s.trace(ctx))
	own.Header.Set("Accept-Encoding", "identity")
	own.Header.Set("User-Agent", c.opts.UserAgent)
	if own.Body != nil && own.Body != http.NoBody {
		own.Body = &watchedBody{own.Body, s}
	}
	resp, err := via.RoundTrip(own)
	s.answered()
	if err != nil {
		if context.Cause(ctx) == errSilent { // whatever package http makes of it
			err = fmt.Errorf("connection stalled: no answer for %s", s.patience)
		} else if context.Cause(ctx) == errStalled {
			err = fmt.Errorf("connection stalled: nothing was taken for %s", c.opts.Timeout)
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = newWatched(resp.Body, c.opts.Timeout, cancel)
	return resp, nil
}

func (c *Conns) transport(p hosts.Peer) (*http.Transport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.made[p]; t != nil {
		return t, nil
	}
	conf, own, err := c.opts.Certs.Config(p)
	if err != nil {
		return nil, FileError{err}
	}
	if !own {
		p = hosts.Peer{Unverified: p.Unverified}
	}
	if t := c.made[p]; t != nil {
		return t, nil
	}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: c.opts.Timeout}).DialContext,
		TLSClientConfig:     conf, // it also keeps HTTP/2 off
		TLSHandshakeTimeout: c.opts.Timeout,
		MaxIdleConnsPerHost: c.opts.Idle,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // the digest is over the bytes as they are
		ReadBufferSize:      64 << 10,
		WriteBufferSize:     64 << 10,

		MaxResponseHeaderBytes: 256 << 10,
	}
	if c.opts.Adapt != nil {
		c.opts.Adapt(t)
	}
	c.made[p] = t
	return t, nil
}

// Close drops idle connections. Bodies that are being read go on.
func (c *Conns) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.made {
		t.CloseIdleConnections()
	}
}
