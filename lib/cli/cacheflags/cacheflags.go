// Package cacheflags has the flags about the cache for what registries send, as a struct
// that a tool embeds, and finds the cache of the user if they do not name one.
package cacheflags

import (
	"errors"
	"fmt"
	"time"

	"ocipipe/lib/cas"
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cachedir"
	"ocipipe/lib/oci/pull"
)

// Dir holds the flag of a tool that cannot do without a cache.
type Dir = cachedir.Dir

// Use holds the flags that say how a cache is used.
type Use struct {
	Verify bool   `name:"verify-cache" group:"Cache" help:"Check the digests of what is in the cache."`
	Pull   string `enum:"if-missing,always,never" default:"if-missing" placeholder:"WHEN" group:"Cache" help:"Ask for a tag: if-missing, always or never."`
	Force  bool   `group:"Cache" help:"Take nothing from the cache."`
}

// Cache holds the flags of a tool that can do without a cache.
type Cache struct {
	Dir
	Off bool `name:"no-cache" group:"Cache" help:"Keep nothing in a cache."`
	Use
}

// Check returns an error for flags that exclude each other, which kong cannot find.
func (c *Cache) Check() error {
	if c.Pull == "never" && c.Off {
		return cli.Usage("--pull never takes all from the cache: not with --no-cache")
	}
	return c.Use.Check()
}

// Check returns an error for flags that exclude each other, which kong cannot find.
func (u *Use) Check() error {
	if u.Pull == "never" && u.Force {
		return cli.Usage("--pull never takes all from the cache: not with --force")
	}
	return nil
}

// Fill opens the cache and puts the flags into opts.
func (c *Cache) Fill(env *cli.Env, opts *pull.Options) (err error) {
	c.Use.Fill(opts)
	opts.Cache, err = c.open(env)
	return err
}

// Fill puts the flags into opts.
func (u *Use) Fill(opts *pull.Options) {
	opts.Used = time.Now()
	opts.Policy = map[string]pull.Policy{"if-missing": pull.IfMissing, "always": pull.Always, "never": pull.Never}[u.Pull]
	if u.Force {
		opts.Policy = pull.Always
	}
}

// Options returns those of the cache.
func (u *Use) Options(env *cli.Env) cas.Options {
	return cas.Options{Verify: u.Verify, Fresh: u.Force, Warn: env.Warn}
}

// Advise returns a hint for err, or "".
func (u *Use) Advise(err error) string {
	if errors.As(err, new(*pull.AbsentError)) {
		return "without --pull never it is fetched from the registry"
	}
	return ""
}

// open opens the cache. If the user has not named it, a failure is only a warning, and
// without a home directory there is no cache.
func (c *Cache) open(env *cli.Env) (*cas.Store, error) {
	if c.Off {
		return nil, nil
	}
	opts := c.Options(env)
	if c.Dir.Dir != "" {
		s, err := cachedir.Open(env, c.Dir.Dir, opts)
		if errors.Is(err, cas.ErrStore) {
			err = cli.Hint(err, "--cache DIR keeps it elsewhere, --no-cache nowhere")
		}
		return s, err
	}
	base := cachedir.Base()
	if base == "" {
		if c.Pull == "never" {
			return nil, fmt.Errorf("--pull never: no cache: neither --cache nor a home directory")
		}
		return nil, nil
	}
	s, err := cachedir.Open(env, cachedir.Own(base), opts)
	if err != nil && c.Pull != "never" {
		env.Warn(env.Text(err) + ": going on without it")
		return nil, nil
	}
	return s, err
}
