package materialize

import (
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/pull"
)

// Stage is a part of the work that makes progress by itself.
type Stage string

// The stages. Documents are manifests and configurations; the other stages of a layer have
// its number.
const (
	StageDocument Stage = "document" // fetching a manifest or a configuration
	StageDownload Stage = "download" // fetching a layer
	StageLayer    Stage = "layer"    // converting a layer
	StageFsmeta   Stage = "fsmeta"
	StageVMDK     Stage = "vmdk"
	StageFlat     Stage = "flat"
	StageUpper    Stage = "upper"
)

// Event reports progress to a display.
type Event struct {
	Stage  Stage
	Kind   pull.EventKind
	Layer  int           // from 0 at the bottom; -1 for other stages than those of layers
	Digest digest.Digest // the blob, or the diff-id of a layer that is converted
	Done   int64         // bytes; of compressed input where a layer is converted
	Total  int64         // 0 if it is not known

	// With pull.EventRetry attempt number Attempt follows in Wait, because of Err. With
	// pull.EventFailed Err is the reason.
	Attempt int
	Wait    time.Duration
	Err     error
}

// eventsApart is the shortest time between two events about the bytes of a layer.
const eventsApart = 50 * time.Millisecond

// pulled passes an event of a download on.
func (o *Options) pulled(e pull.Event) {
	stage := StageDownload
	if e.Layer < 0 {
		stage = StageDocument
	}
	o.event(Event{stage, e.Kind, e.Layer, e.Digest, e.Done, e.Total, e.Attempt, e.Wait, e.Err})
}

// staged reports the beginning of a stage that is no layer, and returns what reports its
// end.
func (o *Options) staged(s Stage) func(err error) {
	o.event(Event{Stage: s, Kind: pull.EventStarted, Layer: -1})
	return func(err error) {
		if err != nil {
			o.event(Event{Stage: s, Kind: pull.EventFailed, Layer: -1, Err: err})
		} else {
			o.event(Event{Stage: s, Kind: pull.EventDone, Layer: -1})
		}
	}
}
