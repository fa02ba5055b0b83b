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
	EventStarted                      // the request begins; Done bytes are left from an earlier attempt
	EventBytes                        // Done bytes of Total have arrived; at most 20 of these a second
	EventRetry                        // attempt number Attempt follows in Wait, because of Err
	EventDone                         // all of it has arrived and was verified
	EventFailed                       // it will not come, because of Err
)

// Event reports the progress of a download to a display. A layer that is listed twice is
// downloaded once; its events have the lower index.
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
