package conn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Plain returns err with the part that package net, tls or http wrote in plainer words. What err
// wraps stays.
func Plain(err error) error {
	inner, text := plainText(err)
	if inner == nil {
		return err
	}
	return &plainError{strings.Replace(err.Error(), inner.Error(), text, 1), err}
}

type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// plainText returns the part of err that can be said more plainly, and how.
func plainText(err error) (part error, text string) {
	var (
		said   *plainError
		dns    *net.DNSError
		op     *net.OpError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &said):
		return nil, ""
	case errors.As(err, &cert):
		return cert, strings.TrimPrefix(cert.Err.Error(), "x509: ")
	case errors.As(err, &record):
		return record, "the server does not speak TLS"
	case errors.Is(err, http.ErrSchemeMismatch):
		return http.ErrSchemeMismatch, "the server speaks plain HTTP, not HTTPS"
	case errors.As(err, &op):
		return op, opText(op)
	case errors.As(err, &dns):
		return dns, dnsText(dns)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF, closedText
	case errors.Is(err, io.EOF):
		return io.EOF, closedText
	}
	return nil, ""
}

const closedText = "the server closed it too early"

func dnsText(e *net.DNSError) string {
	text := "no address for " + e.Name + ": " + e.Err
	if !e.IsNotFound && e.Server != "" {
		text += " (name server " + e.Server + ")"
	}
	return text
}

func opText(e *net.OpError) string {
	if e.Op == "proxyconnect" { // of package http
		if part, text := plainText(e.Err); part != nil {
			return "proxy: " + text
		}
		return "proxy: " + e.Err.Error()
	}
	cause := e.Err.Error()
	var dns *net.DNSError
	var errno syscall.Errno
	switch {
	case errors.As(e.Err, &dns):
		return dnsText(dns)
	case errors.As(e.Err, &errno):
		cause = errno.Error()
	case e.Timeout():
		cause = "no answer in time"
	}
	switch {
	case e.Op == "dial" && e.Addr != nil:
		return "connect to " + e.Addr.String() + ": " + cause
	case e.Op == "remote error":
		return "the server ended the connection: " + strings.TrimPrefix(cause, "tls: ")
	}
	return cause
}
