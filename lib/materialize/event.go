package materialize

import (
	"time"

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

// Event reports progress to a display, in the terms of a download whatever the stage is: Layer
// is -1 for stages that are not about one layer, Digest is the diff-id of a layer that is
// converted, and Done and Total are bytes of its compressed blob.
type Event struct {
	Stage Stage
	pull.Event
}

// eventsApart is the shortest time between two events about the bytes of a layer.
const eventsApart = 50 * time.Millisecond

// pulled passes an event of a download on.
func (o *Options) pulled(e pull.Event) {
	stage := StageDownload
	if e.Layer < 0 {
		stage = StageDocument
	}
	o.event(Event{stage, e})
}

// staged reports the beginning of a stage that is no layer, and returns what reports its
// end.
func (o *Options) staged(s Stage) func(err error) {
	o.event(Event{s, pull.Event{Kind: pull.EventStarted, Layer: -1}})
	return func(err error) {
		if err != nil {
			o.event(Event{s, pull.Event{Kind: pull.EventFailed, Layer: -1, Err: err}})
		} else {
			o.event(Event{s, pull.Event{Kind: pull.EventDone, Layer: -1}})
		}
	}
}
