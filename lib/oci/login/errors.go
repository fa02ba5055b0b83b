package login

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"sync"
)

// ErrProtocol is in the error for an answer that contradicts itself or the request, or that
// it would be unsafe to follow.
var ErrProtocol = errors.New("wrong answer")

// ErrCredentials is in the error for credentials that could not be read.
var ErrCredentials = errors.New("credentials")

// final is an error that is complete. Package transport may wrap it in other text, such as
// URLs, which may be signed; plain takes that off.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

var webAddress = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>]*`)
})

// HideURLs returns s with each URL, which may be signed, replaced by its host.
func HideURLs(s string) string {
	return webAddress().ReplaceAllStringFunc(s, func(s string) string {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			return u.Host
		}
		return "a URL"
	})
}

// plain turns an error of package transport into one that can be shown.
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
