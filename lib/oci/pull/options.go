package pull

import (
	"fmt"
	"time"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/registry"
)

// Policy says when to ask a registry for something that the cache has.
type Policy int

// The policies. Without a cache the first two are the same, and the third finds nothing.
const (
	IfMissing Policy = iota // take what the cache has
	Always                  // ask the registry what a tag means now
	Never                   // no network
)

// Options say how an image is opened. The zero value is useful.
type Options struct {
	// Image says how an image in a file is opened, and which image is chosen.
	Image oci.Options
	// Registry says how to speak to registries. If its Warn is nil, Image.Warn is
	// used.
	Registry registry.Options
	// Cache keeps what registries send; nil for no cache.
	Cache *cas.Store
	// As is the name under which Cache keeps an image in a file; "" keeps nothing of it.
	As string
	// Used is the time at which the image is used, for Cache to know what was not used for
	// long. The zero value is not noted.
	Used time.Time
	// Policy says when to ask a registry for something that Cache has.
	Policy Policy
	// Jobs is how many layers are downloaded at a time; 0 is DefaultJobs.
	Jobs int
	// AllowForeign fetches layers from the URLs in a manifest, if the registry
	// does not have them.
	AllowForeign bool
	// Progress is called when the download of a layer makes progress, unless it is nil.
	// Any goroutine may call it. It must be quick and must not block.
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

// isSerial reports whether one layer is to be downloaded after the other by a single
// connection. Then layers without a cache need no spool file.
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
