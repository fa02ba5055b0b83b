package push

import (
	"time"

	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/registry"
)

// Options say how an image is pushed. The zero value is useful.
type Options struct {
	// Registry says how to speak to the registry. Its Mirrors and Connections do not count.
	Registry registry.Options
	// Tags are tags of the repository, in the order in which they are set, after the one
	// in the reference.
	Tags []string
	// MountFrom are repositories that may have blobs of the image: [REGISTRY/]NAME. Those
	// of another registry do not count.
	MountFrom []string
	// Jobs is how many blobs are uploaded at a time; 0 is DefaultJobs.
	Jobs int
	// ChunkSize is how many bytes of a blob go in one request, at most; 0 is
	// registry.DefaultChunk.
	ChunkSize int64
	// AllowForeign uploads layers that are not distributed with their image, too.
	AllowForeign bool
	// Progress is called when a blob makes progress, unless it is nil. Any goroutine may
	// call it. It must be quick and must not block.
	Progress func(Event)
}

// DefaultJobs is how many blobs are uploaded at a time.
const DefaultJobs = 4

// EventKind says what an Event reports.
type EventKind int

// The life of a blob: queued, then one of there, mounted and foreign, or started, any number
// of bytes and retries, and done; or failed. A retry may come before it is started.
const (
	EventQueued  EventKind = iota + 1
	EventThere             // the registry has it
	EventMounted           // the registry has taken it over from the repository From
	EventForeign           // it stays where its URLs say
	EventStarted           // its upload begins
	EventBytes             // Sent bytes of it were sent; fewer than before if some have to be sent again
	EventRetry             // attempt number Attempt follows in Wait, because of Err
	EventDone              // the registry has all of it
	EventFailed            // because of Err
)

// Event reports the progress of a push to a display. A blob that is listed twice is uploaded
// once.
type Event struct {
	Kind EventKind
	// Blob is the blob. In a retry of a request about manifests or tags it is the zero value.
	Blob     manifest.Descriptor
	Layer    int    // from 0 at the bottom; -1: a configuration
	Platform string // of its image, if an index lists that, or ""

	Sent    int64
	From    string
	Attempt int
	Wait    time.Duration
	Err     error
}

func (o Options) event(e Event) {
	if o.Progress != nil {
		o.Progress(e)
	}
}

func (o Options) jobs() int {
	if o.Jobs > 0 {
		return o.Jobs
	}
	return DefaultJobs
}
