package ocicache

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"ocipipe/lib/cas"
	"ocipipe/lib/cli"
	"ocipipe/lib/imagecache"
	"ocipipe/lib/oci/names"
)

type images struct {
	Images []string `arg:"" name:"image" completion:"none" help:"Name, or at least eight digits of the digest, as ls shows them."`
}

type prune struct {
	MaxSize   *cli.Size `placeholder:"SIZE" help:"Remove images until the cache has at most SIZE, those first that were not used for the longest time."`
	OlderThan *age      `placeholder:"AGE" help:"Remove images that were not used for AGE, such as 12h, 30d or 8w."`
}

type verify struct {
	Repair bool `help:"Remove what is damaged, so that it is fetched or made anew."`
	Jobs   int  `short:"j" placeholder:"N" help:"Files to read at a time (default: one for each processor)."`
}

// age is a flag that holds a time span: a number with a unit.
type age time.Duration

// UnmarshalText parses the value of the flag.
func (a *age) UnmarshalText(text []byte) error {
	const day = 24 * time.Hour
	units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day}
	digits := strings.TrimRight(string(text), "smhdw")
	unit, ok := units[string(text[len(digits):])]
	n, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil || n > uint64((1<<63-1)/unit) {
		return fmt.Errorf("%q is not an age: want a number and s, m, h, d or w, such as 12h or 30d", text)
	}
	*a = age(time.Duration(n) * unit)
	return nil
}

// command runs the command that was given. It returns the result and a function that writes
// it for people. There may be both a result and an error.
func (t *tool) command(env *cli.Env, s *cas.Store) (result any, text func(*cli.Stream) error, err error) {
	switch env.Command {
	case "ls":
		l, err := imagecache.List(env.Context, s)
		if err != nil {
			return nil, nil, err
		}
		return l, func(w *cli.Stream) error { return imagecache.WriteListing(w, l, time.Now()) }, nil
	case "inspect":
		l, err := imagecache.List(env.Context, s) // what an image shares depends on all of them
		if err != nil {
			return nil, nil, err
		}
		list, err := find(l.Images, t.Inspect.Images)
		if err != nil {
			return nil, nil, err
		}
		return list, func(w *cli.Stream) error { return imagecache.WriteImages(w, list, env.Columns(t.TextOutput.Path)) }, nil
	case "verify":
		return t.verify(env, s)
	}
	r, err := t.remove(env, s)
	if err != nil && len(r.Images)+len(r.Files) == 0 {
		return nil, nil, err
	}
	return r, func(w *cli.Stream) error { return imagecache.WriteReport(w, r) }, err
}

// find returns those of images that words mean.
func find(images []imagecache.Image, words []string) (list []imagecache.Image, err error) {
	for _, word := range words {
		found, err := imagecache.Select(images, word, names.Complete(word))
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// remove runs rm or prune.
func (t *tool) remove(env *cli.Env, s *cas.Store) (imagecache.Report, error) {
	if env.Command == "rm" {
		entries, err := imagecache.Entries(s)
		if err != nil {
			return imagecache.Report{}, err
		}
		list, err := find(entries, t.Rm.Images)
		if err != nil {
			return imagecache.Report{}, err
		}
		return imagecache.Remove(env.Context, s, list)
	}
	o := imagecache.PruneOptions{MaxSize: (*int64)(t.Prune.MaxSize)}
	if t.Prune.OlderThan != nil {
		o.Before = time.Now().Add(-time.Duration(*t.Prune.OlderThan))
	}
	r, err := imagecache.Prune(env.Context, s, o)
	if err == nil && o.MaxSize != nil && r.Size > *o.MaxSize {
		env.Warn(fmt.Sprintf("%s: more than --max-size is left: it is in use", s.Dir()))
	}
	return r, err
}

// faultsError says that not all is well in a cache.
type faultsError struct {
	dir          string
	faults, left int
}

func (e *faultsError) Error() string {
	if e.faults == e.left {
		return fmt.Sprintf("%s: %d faults", e.dir, e.faults)
	}
	return fmt.Sprintf("%s: %d of %d faults are left", e.dir, e.left, e.faults)
}

func (t *tool) verify(env *cli.Env, s *cas.Store) (any, func(*cli.Stream) error, error) {
	bar := env.Progress().Start("verify", -1)
	v, err := imagecache.Verify(env.Context, s, imagecache.VerifyOptions{Repair: t.Verify.Repair, Jobs: t.Verify.Jobs, Progress: func(done, _ int64) { bar.Set(done) }})
	bar.Done(err)
	if err != nil && len(v.Faults) == 0 {
		return nil, nil, err
	}
	if n := v.Unrepaired(); n > 0 && err == nil {
		err = &faultsError{s.Dir(), len(v.Faults), n}
	}
	return v, func(w *cli.Stream) error { return imagecache.WriteVerification(w, v) }, err
}
