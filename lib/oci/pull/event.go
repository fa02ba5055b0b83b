package pull

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// EventKind says what an Event reports.
type EventKind int

// The life of a layer: queued, then either cached or started, then any number of
// bytes and retries, then done or failed.
const (
	EventQueued  EventKind = iota + 1 // the layer, of Total bytes, is to be downloaded
	EventCached                       // all of it is in the cache
	EventStarted                      // it is asked for; Done bytes are there from an earlier attempt
	EventBytes                        // Done bytes of Total are there; not more than 20 of these a second
	EventRetry                        // attempt number Attempt follows in Wait, because of Err
	EventDone                         // all of it is there and verified
	EventFailed                       // it will not come, because of Err
)

// Event is a moment of a download, for a display. Layers that are listed twice
// are downloaded once: events bear the lower index.
type Event struct {
	Kind    EventKind
	Layer   int // from 0 at the bottom; -1: a manifest or a configuration
	Digest  digest.Digest
	Done    int64
	Total   int64
	Attempt int
	Wait    time.Duration
	Err     error
}
