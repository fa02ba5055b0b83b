package registry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Behaviour is how a server behaves; the zero value is a good registry.
type Behaviour struct {
	Seed uint64 // of Rule.Within

	Latency Duration // before each answer
	Rate    int64    // bytes per second that a connection carries; 0 is as fast as it goes

	Auth          string   // "" none, "basic" or "bearer"
	User          string   // who may log in; "" with bearer is anybody
	Password      string   // of User
	IdentityToken string   // bearer: logs in too
	TokenLife     Duration // bearer: how long a token is good; 0 is for good
	TokenField    string   // bearer: "token" (and that is ""), "access_token" or "both"
	NoExpiry      bool     // bearer: the answer lacks expires_in
	Challenge     string   // in place of the usual WWW-Authenticate, a line a header; {realm} is replaced

	Redirect     bool     // blobs lie at Server.Storage, which refuses Authorization
	RedirectLife Duration // how long the URL there is good; 0 is an hour

	Rules []Rule // the first that matches a request counts
}

// Rule is what happens to some requests.
type Rule struct {
	Match string // is in "METHOD HOST /path Range: bytes=0-1"; HOST is registry or storage
	Skip  int    // so many matching requests are left alone first
	Times int    // then it acts so often; 0 is for ever

	Wait Duration // before the answer

	Status     int    // the answer; what follows is then ignored, but for RetryAfter
	RetryAfter string // a number of seconds, or "date:2s" for the moment that is then
	Code       string // in the body of the answer
	Message    string

	Break  string // "drop" without an answer; "reset", "close" or "stall" in mid-body,
	At     int64  // behind so many bytes of it, or
	Within int64  // behind a random number below this

	Flip   int64    // the byte of the blob at Flip-1 is wrong; 0 is none
	Length int64    // added to Content-Length
	Piece  int      // the body comes in pieces of this size
	Pause  Duration // between which it waits
	Range  string   // how a request for a range is met, see ranges
}

// ranges are the ways to meet a request for a range of a blob.
var ranges = []string{
	"",          // as the standard says
	"ignore",    // 200 and all of it
	"refuse",    // 416
	"short",     // 206 and half of what was asked for, as the standard allows
	"start",     // 206 from the beginning of the blob, which Content-Range says
	"lie",       // 206 from the beginning, while Content-Range says what was asked for
	"total",     // 206, Content-Range with another size of the blob
	"unlabeled", // 206 without Content-Range
	"multipart", // 206 in the form of several ranges
}

var breaks = []string{"", "drop", "reset", "close", "stall"}

func (b Behaviour) check() error {
	if !slices.Contains([]string{"", "basic", "bearer"}, b.Auth) {
		return fmt.Errorf("auth %q", b.Auth)
	}
	if !slices.Contains([]string{"", "token", "access_token", "both"}, b.TokenField) {
		return fmt.Errorf("token field %q", b.TokenField)
	}
	for _, r := range b.Rules {
		if !slices.Contains(breaks, r.Break) || !slices.Contains(ranges, r.Range) {
			return fmt.Errorf("break %q, range %q", r.Break, r.Range)
		}
	}
	return nil
}

// rule returns the rule for a request; one that changes nothing if none matches.
func (s *Server) rule(r *http.Request, host string) Rule {
	text := r.Method + " " + host + " " + r.URL.Path
	if asked := r.Header.Get("Range"); asked != "" {
		text += " Range: " + asked
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, rule := range s.behaviour.Rules {
		if !strings.Contains(text, rule.Match) || rule.Times > 0 && s.used[i] >= rule.Skip+rule.Times {
			continue
		}
		s.used[i]++
		if s.used[i] <= rule.Skip {
			continue
		}
		if rule.Within > 0 {
			rule.At = s.random.Int64N(rule.Within)
		}
		return rule
	}
	return Rule{}
}

// Duration is a time.Duration that is text in JSON: "1.5s".
type Duration time.Duration

// UnmarshalText parses it.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText formats it.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// retryAfter is the value of the header.
func retryAfter(s string) string {
	after, isDate := strings.CutPrefix(s, "date:")
	if !isDate {
		return s
	}
	d, err := time.ParseDuration(after)
	if err != nil {
		panic(err)
	}
	return time.Now().Add(d).UTC().Format(http.TimeFormat)
}
