package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"ocipipe/lib/oci/conn"
	"ocipipe/lib/oci/login"
	"ocipipe/lib/oci/printable"
)

// ErrNotFound is in the error if a registry does not have what it was asked for.
var ErrNotFound = errors.New("not found")

// ErrProtocol is in the error if the answer of a registry contradicts itself or the
// request.
var ErrProtocol = login.ErrProtocol

// Error is a failure of the network or the refusal of a registry.
type Error struct {
	Err    error
	Status int           // of the answer; 0 without an answer
	After  time.Duration // how long the server asks to wait; 0 if it does not
	// Remedy would let the request succeed, if it is not NoRemedy.
	Remedy Remedy
	// Missing describes the missing credentials if Remedy is LogIn.
	Missing MissingLogin
	retry   bool
}

// Remedy is a change that would let a request succeed.
type Remedy int

// The remedies.
const (
	NoRemedy         Remedy = iota
	AllowHTTP               // Options.Insecure
	TrustAuthority          // Options.Certs.CACert, or SkipVerification
	SkipVerification        // hosts.VerifyNone as Options.Certs.Verify
	ShowCertificate         // a client certificate, in Options.Certs
	LogIn                   // credentials; none were found
)

// MissingLogin says for which host no credentials were found, and which ones do not count.
type MissingLogin struct {
	Host string
	// NotAsked says in words which credentials were not looked up; "" if none.
	NotAsked string
	// UsernameFor is the registry that Options.Username is for, if the configuration
	// file ReplacedBy replaces it by another, Host; else "".
	UsernameFor, ReplacedBy string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports that a retry may help.
func (e *Error) Temporary() bool { return e.retry }

// Is makes a 404 an ErrNotFound, with the text of the registry.
func (e *Error) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

// Temporary reports whether a retry may help against err.
func Temporary(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.retry
}

// explain turns err, which the network gave, into an [*Error]. If ctx has ended it returns
// the cause.
func explain(ctx context.Context, err error) error {
	var known *Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &known):
		return err
	}
	final, remedy := isFinal(err)
	if !errors.Is(err, login.ErrCredentials) { // a file, not the network
		err = conn.Plain(err)
	}
	return &Error{Err: err, retry: !final, Remedy: remedy}
}

// isFinal reports whether a request failed for a reason that a retry does not change, and
// returns the remedy, if there is one.
func isFinal(err error) (final bool, remedy Remedy) {
	var (
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	const alert = "remote error" // package tls says this of a server that refuses our certificate, or us without one
	switch {
	case errors.As(err, &unknown):
		return true, TrustAuthority
	case errors.As(err, &cert):
		return true, SkipVerification
	case errors.As(err, &op) && op.Op == alert:
		if strings.Contains(err.Error(), "certificate required") {
			remedy = ShowCertificate
		}
		return true, remedy
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return true, AllowHTTP
	}
	final = errors.As(err, new(conn.FileError)) || errors.As(err, &dns) && dns.IsNotFound || errors.Is(err, ErrProtocol) || errors.Is(err, login.ErrCredentials)
	return final, NoRemedy
}

// maxErrorBody is how many bytes of an answer are read for its message.
const maxErrorBody = 64 << 10

// maxMessage is how many bytes of that message an error has.
const maxMessage = 300

// refusal returns the error for an answer that is not the wanted one. from is "registry",
// or the host that gave the answer.
func (c *Client) refusal(from string, resp *http.Response) *Error {
	data, _ := login.ReadSome(resp.Body, maxErrorBody)
	text := c.scrub(login.HideURLs(serverMessage(resp, data))) // before it is cut
	if len(text) > maxMessage {
		text = text[:maxMessage] + "..."
	}
	if from != "registry" {
		from = printable.Text(from)
	}
	code := resp.StatusCode
	return &Error{
		Err:    fmt.Errorf("%s: %s (HTTP %d)", from, printable.Text(text), code),
		Status: code,
		After:  retryAfter(resp.Header, c.now),
		retry: code == http.StatusTooManyRequests || code == http.StatusRequestTimeout ||
			code >= 500 && code != http.StatusNotImplemented && code != http.StatusInsufficientStorage,
	}
}

// serverMessage returns the message of the server: those of the specification, those of
// token servers, or a line of plain text.
func serverMessage(resp *http.Response, data []byte) string {
	var body struct {
		Errors []struct{ Code, Message string }
		// of token servers
		Error            string
		ErrorDescription string `json:"error_description"`
		Details          string
		Message          string
	}
	json.Unmarshal(data, &body) // fields that cannot be decoded stay empty
	var parts []string
	for _, e := range body.Errors {
		parts = append(parts, strings.Trim(e.Code+": "+e.Message, ": "))
	}
	if len(parts) == 0 {
		for _, s := range []string{body.Error, body.ErrorDescription, body.Details, body.Message} {
			if s != "" {
				parts = append(parts, s)
			}
		}
	}
	if len(parts) == 0 && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		line, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
		parts = append(parts, line)
	}
	s := strings.Join(parts, "; ")
	if s == "" {
		s = http.StatusText(resp.StatusCode)
	}
	if s == "" {
		s = "no reason given"
	}
	return s
}
