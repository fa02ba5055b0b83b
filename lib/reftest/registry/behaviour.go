package registry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Behaviour says how a server behaves. The zero value is that of a good registry.
type Behaviour struct {
	Seed uint64 // for Rule.Within

	Latency Duration // before each answer
	Rate    int64    // bytes per second for each connection; 0 is no limit

	Auth          string // "", "basic" or "bearer"; "" needs no login
	User          string // the user that may log in; with bearer "" is anybody
	Password      string // of User
	IdentityToken string // bearer: another way to log in
	TokenUses     int    // bearer: how many requests about images a token is good for; 0 is for all
	TokenField    string // bearer: "token", "access_token" or "both"; "" is "token"
	ExpiresIn     int    // bearer: what the token server says, in seconds; 0 leaves it out
	Challenge     string // replaces the usual WWW-Authenticate; one header a line; {realm} is replaced

	Push bool // images can be pushed; a repository has only what it was pushed

	Redirect     bool // blobs lie at Server.Storage, which refuses Authorization
	RedirectUses int  // how often a URL there can be used before it has expired; 0 is for ever

	Rules []Rule // the first that matches a request counts
}

// Rule says what happens to some requests.
type Rule struct {
	Match string // matches a part of "METHOD HOST /path Range: bytes=0-1"; HOST is registry or storage
	Skip  int    // how many matching requests pass first
	Times int    // how often the rule then applies; 0 is for ever

	Wait Duration // before the answer

	Status     int    // of the answer; then only RetryAfter, Code and Message count below
	RetryAfter string // a number of seconds, or "date:2s" for a date two seconds ahead
	Code       string // in the body of the answer
	Message    string

	Break  string // "drop" without an answer; "reset", "close" or "stall" in mid-body,
	At     int64  // after so many bytes of it, also of one that is uploaded, or
	Within int64  // after a random number of bytes below this

	Flip   int64    // makes the byte of the blob at Flip-1 wrong; 0 makes none wrong
	Length int64    // added to Content-Length
	Piece  int      // sends the body in pieces of this size
	Pause  Duration // between two pieces
	Range  string   // how to answer a request for a range; see ranges
}

// ranges are the ways to answer a request for a range of a blob.
var ranges = []string{
	"",          // according to the standard
	"ignore",    // 200 and all of it
	"refuse",    // 416
	"short",     // 206 and half of the range, which the standard allows
	"start",     // 206 from the beginning of the blob, with a Content-Range that says so
	"lie",       // 206 from the beginning of the blob, with the Content-Range of the request
	"total",     // 206 with a wrong size of the blob in Content-Range
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

// rule returns the rule for a request. If none matches, it returns one without effect.
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

// retryAfter returns the value of the header Retry-After.
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
