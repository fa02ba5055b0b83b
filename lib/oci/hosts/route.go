package hosts

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"ocipipe/lib/oci/names"
)

// Endpoint is a repository at a host.
type Endpoint struct {
	Host     string // HOST or HOST:PORT
	Repo     string
	Scheme   string // of URLs; "" is https, or http if plain HTTP is allowed
	Insecure bool   // plain HTTP is allowed, and certificates are not verified
}

// Route says which hosts have an image.
type Route struct {
	Mirrors []Endpoint // asked first, in order
	Origin  Endpoint
	// File is the file that has replaced the location in the image's name; "" if none
	// has.
	File string
	// Unasked says which credentials are not looked up; "" if none.
	Unasked string
}

// ErrBlocked is in the error for an image that a configuration forbids.
var ErrBlocked = errors.New("blocked")

// Find returns the route to ref according to paths: files of registries.conf(5), and
// directories of such files whose names end in ".conf". Later ones count more; those
// that do not exist are skipped. Errors name the file. warn takes messages to the user.
func Find(paths []string, ref name.Reference, warn func(msg string)) (Route, error) {
	s := settings{name: names.Full(ref), short: shortName(ref)}
	for _, path := range paths {
		if err := s.readAll(path, warn); err != nil {
			return Route{}, err
		}
	}
	s.warnShort(ref, warn)
	r := Route{Origin: Endpoint{Host: ref.Context().RegistryStr(), Repo: ref.Context().RepositoryStr()}, Unasked: s.unasked}
	if s.table == nil {
		return r, nil
	}
	if err := s.table.apply(&r, ref); err != nil {
		return Route{}, fmt.Errorf("%s: registry %q: %w", s.table.file, s.table.Prefix, err)
	}
	return r, nil
}

// apply changes r as t, which matches ref, says.
func (t *table) apply(r *Route, ref name.Reference) (err error) {
	if t.Blocked {
		return ErrBlocked
	}
	origin := r.Origin
	if t.Location != "" {
		if r.Origin, err = t.at(t.Location, ref); err != nil {
			return err
		}
	}
	if r.Origin.Host != origin.Host {
		r.File = t.file
	}
	r.Origin.Insecure = t.Insecure
	for _, m := range t.Mirrors {
		use, err := t.uses(m, ref)
		if err != nil {
			return err
		}
		if !use {
			continue
		}
		e, err := t.at(m.Location, ref)
		if err != nil {
			return fmt.Errorf("mirror: %w", err)
		}
		e.Insecure = m.Insecure
		r.Mirrors = append(r.Mirrors, e)
	}
	return nil
}

// uses reports whether m is asked for ref.
func (t *table) uses(m mirror, ref name.Reference) (bool, error) {
	_, byDigest := ref.(name.Digest)
	if t.DigestOnly && m.Pull != "" {
		return false, errors.New("pull-from-mirror and mirror-by-digest-only exclude each other")
	}
	switch m.Pull {
	case "", "all":
		return byDigest || !t.DigestOnly, nil
	case "digest-only":
		return byDigest, nil
	case "tag-only":
		return !byDigest, nil
	}
	return false, fmt.Errorf("pull-from-mirror %q: want all, digest-only or tag-only", m.Pull)
}

// at returns the repository of ref, with location in place of the prefix.
func (t *table) at(location string, ref name.Reference) (Endpoint, error) {
	full := names.Full(ref)
	moved := strings.TrimRight(location, "/") + full[match(full, t.Prefix):]
	host, rest, _ := strings.Cut(moved, "/")
	if rest == "" || !isHost(host) {
		return Endpoint{}, fmt.Errorf("location %q: want HOST[:PORT][/NAME...], without a scheme", names.WithoutPassword(location))
	}
	to, err := name.ParseReference(moved)
	if err != nil {
		return Endpoint{}, fmt.Errorf("location %q: want HOST[:PORT][/NAME...]", names.WithoutPassword(location))
	}
	if to.Identifier() != ref.Identifier() {
		return Endpoint{}, fmt.Errorf("location %q: another tag is not supported", location)
	}
	return Endpoint{Host: to.Context().RegistryStr(), Repo: to.Context().RepositoryStr()}, nil
}

// isHost reports whether s, the first component of a name, is the host of a registry.
func isHost(s string) bool { return strings.ContainsAny(s, ".:") || s == "localhost" }

// match returns the length of the part of name, a full one, that prefix matches; -1 if it
// does not match.
func match(name, prefix string) int {
	host, _, _ := strings.Cut(name, "/")
	if strings.HasPrefix(prefix, "*.") {
		if strings.HasSuffix(host, prefix[1:]) {
			return len(host)
		}
		return -1
	}
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || rest != "" && rest[0] != '/' && (len(prefix) <= len(host) || rest[0] != ':' && rest[0] != '@') {
		return -1
	}
	return len(prefix)
}

// ParseMirror parses [http[s]://]HOST[:PORT][/PREFIX], a mirror of repo.
func ParseMirror(s, repo string) (Endpoint, error) {
	full := s
	if !strings.Contains(s, "://") {
		full = "https://" + s
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Endpoint{}, fmt.Errorf("mirror %q: want [http://]HOST[:PORT][/PREFIX]", names.WithoutPassword(s))
	}
	e := Endpoint{Host: u.Host, Repo: strings.TrimPrefix(strings.Trim(u.Path, "/")+"/"+repo, "/")}
	if full == s {
		e.Scheme = u.Scheme
	}
	return e, nil
}

// IsLoopback reports whether host is this machine.
func IsLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
