package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config says how to listen, on 127.0.0.1.
type Config struct {
	Addr       string // of the registry; "" is any free port
	TLS        bool   // use https, with generated certificates
	ClientCert bool   // with TLS: admit only clients that have a certificate
	HTTP2      bool   // with TLS: speak HTTP/2
}

// New returns a server that does not listen, for WriteLayout.
func New() *Server {
	s := &Server{blobs: map[string]blob{}, tags: map[string]map[string]string{}, tokens: map[string]token{}, urls: map[string]int{}, links: map[string]map[string]bool{}, uploads: map[string]*upload{}, closing: make(chan struct{}), stats: newCounters()}
	s.Behave(Behaviour{})
	return s
}

// Start starts a server without images. Close stops it.
func Start(c Config) (*Server, error) {
	s := New()
	var conf *tls.Config
	if c.TLS {
		var err error
		if s.Certs, err = MakeCerts(); err != nil {
			return nil, err
		}
		if conf, err = s.Certs.server(c.ClientCert, c.HTTP2); err != nil {
			return nil, err
		}
	}
	for _, l := range []struct {
		host    *string
		addr    string
		conf    *tls.Config
		handler http.HandlerFunc
	}{
		{&s.Host, c.Addr, conf, s.registry},
		{&s.Storage, "", conf, s.storage},
		{&s.Control, "", nil, s.control},
	} {
		var err error
		if *l.host, err = s.listen(l.addr, l.conf, l.handler, l.host != &s.Control); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Close ends every connection.
func (s *Server) Close() error {
	s.close.Do(func() { close(s.closing) })
	var errs []error
	for _, stop := range s.stop {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

type connKey struct{}

func (s *Server) listen(addr string, conf *tls.Config, h http.Handler, counted bool) (host string, err error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	server := &http.Server{
		Handler: h, TLSConfig: conf.Clone(), ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			if counted {
				s.count(func(c *counters) { c.Connections++ })
			}
			return context.WithValue(ctx, connKey{}, &limiter{})
		},
	}
	if conf != nil && len(conf.NextProtos) == 1 {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // no HTTP/2
	}
	s.stop = append(s.stop, server.Close)
	if conf != nil {
		go server.ServeTLS(l, "", "")
	} else {
		go server.Serve(l)
	}
	return l.Addr().String(), nil
}

// limit returns the limiter of the connection of r.
func (s *Server) limit(r *http.Request) *limiter { return r.Context().Value(connKey{}).(*limiter) }

// limiter limits the bytes a second of a connection.
type limiter struct {
	mu   sync.Mutex
	next time.Time
}

// take waits until n more bytes may be sent at rate bytes a second.
func (l *limiter) take(ctx context.Context, n, rate int64) error {
	l.mu.Lock()
	if now := time.Now(); l.next.Before(now) {
		l.next = now
	}
	l.next = l.next.Add(time.Duration(n) * time.Second / time.Duration(rate))
	until := l.next
	l.mu.Unlock()
	return wait(ctx, time.Until(until))
}

// newRandom returns a generator that yields the same bytes for the same seed.
func newRandom(seed uint64) *rand.ChaCha8 {
	var b [32]byte
	for i := range 8 {
		b[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(b)
}
