// Package cachedir has the flag that names a cache, as a struct that a tool embeds, and
// finds the cache of the user if it does not name one. It needs no network.
package cachedir

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"ocipipe/lib/cas"
	"ocipipe/lib/cli"
)

// Dir holds the flag of a tool that cannot do without a cache.
type Dir struct {
	Dir string `name:"cache" env:"OCIPIPE_CACHE" placeholder:"DIR" group:"Cache" help:"Directory of the cache."`
}

// Open opens the cache; without one the tool cannot go on.
func (d *Dir) Open(env *cli.Env, opts cas.Options) (*cas.Store, error) {
	if d.Dir != "" {
		return Open(env, d.Dir, opts)
	}
	base := Base()
	if base == "" {
		return nil, cli.Usage("no cache: neither --cache nor a home directory")
	}
	return Open(env, Own(base), opts)
}

// Own returns the directory of the cache of this user in base. It is made for this user
// alone; a failure shows again when it is opened.
func Own(base string) string {
	dir := filepath.Join(base, "ocipipe")
	os.MkdirAll(dir, 0o700)
	return dir
}

// Base returns the directory in which the caches of the user lie, or "" if there is no
// home directory.
func Base() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) { // its specification ignores a relative path
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache")
}

// keepParts is how long a part of a download is kept, to be continued.
const keepParts = 7 * 24 * time.Hour

// Open opens the cache in dir and removes what killed processes left there long ago.
// If it cannot remove that, because the cache is read-only, it goes on.
func Open(env *cli.Env, dir string, opts cas.Options) (*cas.Store, error) {
	s, err := cas.Open(env.Context, dir, opts)
	if err != nil {
		return nil, err
	}
	if err := s.Collect(env.Context, time.Now().Add(-keepParts)); err != nil && !errors.Is(err, cas.ErrStore) {
		return nil, err
	}
	return s, nil
}
