// Package cacheflags is the flags about the cache of what registries send, a struct to
// be embedded in a tool, and where the cache lies without them.
package cacheflags

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ocipipe/lib/cas"
	"ocipipe/lib/cli"
	"ocipipe/lib/oci/pull"
)

// Cache is the flags.
type Cache struct {
	Dir    string `name:"cache" env:"OCIPIPE_CACHE" placeholder:"DIR" help:"Keep what registries send in DIR, an OCI layout; without it $$XDG_CACHE_HOME/ocipipe or ~/.cache/ocipipe."`
	Off    bool   `name:"no-cache" help:"Keep nothing."`
	Verify bool   `name:"verify-cache" help:"Hash what is taken from the cache; what is corrupt is fetched anew."`
	Pull   string `enum:"if-missing,always,never" default:"if-missing" placeholder:"WHEN" help:"When to ask the registry what a tag means: if-missing, always (and still take blobs from the cache), or never, without network."`
	Force  bool   `help:"Fetch everything anew, whatever the cache has."`
}

// Check finds what kong cannot.
func (c *Cache) Check() error {
	if c.Pull == "never" && (c.Off || c.Force) {
		return cli.Usage("--pull never takes all from the cache: not with --no-cache or --force")
	}
	return nil
}

// Fill opens the cache and sets what the flags say.
func (c *Cache) Fill(env *cli.Env, opts *pull.Options) (err error) {
	opts.Policy = map[string]pull.Policy{"if-missing": pull.IfMissing, "always": pull.Always, "never": pull.Never}[c.Pull]
	if c.Force {
		opts.Policy = pull.Always
	}
	opts.Cache, err = c.open(env)
	return err
}

// Advise returns a hint for err, or "".
func (c *Cache) Advise(err error) string {
	if errors.As(err, new(*pull.AbsentError)) {
		return "without --pull never it is fetched from the registry"
	}
	return ""
}

// open opens the cache. The default one was not asked for by name, so that its failure
// is only a warning, and where there is no home there is no cache.
func (c *Cache) open(env *cli.Env) (*cas.Store, error) {
	if c.Off {
		return nil, nil
	}
	opts := cas.Options{Verify: c.Verify, Fresh: c.Force, Warn: env.Warn}
	if c.Dir != "" {
		s, err := openCache(env, c.Dir, opts)
		if errors.Is(err, cas.ErrStore) {
			err = cli.Hint(err, "--cache DIR keeps it elsewhere, --no-cache nowhere")
		}
		return s, err
	}
	base := baseDir()
	if base == "" {
		if c.Pull == "never" {
			return nil, fmt.Errorf("--pull never: no cache: neither --cache nor a home directory")
		}
		return nil, nil
	}
	dir := filepath.Join(base, "ocipipe")
	os.MkdirAll(dir, 0o700) // what is private stays so; a failure shows again
	s, err := openCache(env, dir, opts)
	if err != nil && c.Pull != "never" {
		env.Warn(err.Error() + ": going on without it")
		return nil, nil
	}
	return s, err
}

// baseDir is where the caches of a user lie; "" if there is no home.
func baseDir() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) { // as its specification has it
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache")
}

// keepParts is for how long a download that was broken off can be gone on with.
const keepParts = 7 * 24 * time.Hour

// openCache opens the cache in dir and removes what killed processes left there
// long ago. That it cannot do so, in one that is read-only, does not matter.
func openCache(env *cli.Env, dir string, opts cas.Options) (*cas.Store, error) {
	s, err := cas.Open(env.Context, dir, opts)
	if err != nil {
		return nil, err
	}
	if err := s.Collect(env.Context, time.Now().Add(-keepParts)); err != nil && !errors.Is(err, cas.ErrStore) {
		return nil, err
	}
	return s, nil
}
