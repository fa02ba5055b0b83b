package pull

import (
	"fmt"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/registry"
)

// Policy says when a registry is asked for what is in the cache.
type Policy int

// The policies. Without a cache the first two are the same, and nothing is there
// for the third.
const (
	IfMissing Policy = iota // what is there is taken
	Always                  // the registry says what a tag means now
	Never                   // no network
)

// Options say how an image is opened. The zero value is useful.
type Options struct {
	// Image says how an image in a file is opened, and which image is chosen.
	Image oci.Options
	// Registry says how registries are spoken to. Its Warn may be nil, which is
	// Image.Warn.
	Registry registry.Options
	// Cache keeps what registries send, and has it for the next time; nil is none.
	Cache *cas.Store
	// Policy says when a registry is asked for what Cache has.
	Policy Policy
	// Jobs is how many layers are downloaded at a time; 0 is DefaultJobs.
	Jobs int
	// AllowForeign fetches layers from the URLs in a manifest, if the registry
	// does not have them.
	AllowForeign bool
	// Progress is told how the download of layers goes. It is called from any
	// goroutine, must be quick and must not block. nil is told nothing.
	Progress func(Event)
}

// DefaultJobs is how many layers are downloaded at a time.
const DefaultJobs = 4

func (o Options) jobs() int {
	if o.Jobs > 0 {
		return o.Jobs
	}
	return DefaultJobs
}

// isSerial reports whether nothing is to happen at once: then layers without a
// cache go through no file.
func (o Options) isSerial() bool { return o.jobs() == 1 && o.Registry.Connections == 1 }

func (o Options) event(e Event) {
	if o.Progress != nil {
		o.Progress(e)
	}
}

func (o Options) warn(format string, args ...any) {
	if o.Image.Warn != nil {
		o.Image.Warn(fmt.Sprintf(format, args...))
	}
}
