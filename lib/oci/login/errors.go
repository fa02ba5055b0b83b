package login

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
)

// ErrProtocol is wrapped where an answer contradicts itself or what was asked for,
// or where following it would be unsafe.
var ErrProtocol = errors.New("wrong answer")

// ErrCredentials is wrapped where they could not be read.
var ErrCredentials = errors.New("credentials")

// final is an error that says all there is to say: nothing that is put around it on
// its way through package transport, such as URLs, which may be signed, is shown.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

var webAddress = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>]*`)

// HideURLs is s with the hosts of URLs, which may be signed, in their place.
func HideURLs(s string) string {
	return webAddress.ReplaceAllStringFunc(s, func(s string) string {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			return u.Host
		}
		return "a URL"
	})
}

// plain is what to show of an error of package transport.
func plain(ctx context.Context, err error) error {
	var known *final
	var at *url.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &known):
		return known.error
	case errors.As(err, &at):
		err = at.Err
	}
	return fmt.Errorf("%w: %s", ErrProtocol, HideURLs(err.Error()))
}
