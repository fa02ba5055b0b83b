package ocimaterialize

import (
	"fmt"
	"strconv"
	"sync"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/registryflags"
	"ocipipe/lib/materialize"
)

// bars shows the events of the work: a bar for each stage, and for a layer one for its
// download and one for its conversion.
type bars struct {
	display *cli.Progress

	mu  sync.Mutex
	all map[part]*cli.Bar
}

// part is a piece of work with a bar.
type part struct {
	stage materialize.Stage
	layer int
}

func show(p *cli.Progress) func(materialize.Event) {
	b := &bars{display: p, all: map[part]*cli.Bar{}}
	return b.event
}

func (b *bars) event(e materialize.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Stage != materialize.StageDocument {
		b.endDocument()
	}
	registryflags.Show(b.bar(e), e.Event)
}

// endDocument ends the bar of a manifest or configuration, which has arrived.
func (b *bars) endDocument() {
	p := part{materialize.StageDocument, -1}
	if bar := b.all[p]; bar != nil {
		bar.Done(nil)
		delete(b.all, p)
	}
}

func (b *bars) bar(e materialize.Event) *cli.Bar {
	p := part{e.Stage, e.Layer}
	if bar := b.all[p]; bar != nil {
		return bar
	}
	name, attrs := string(e.Stage), []string{"stage", string(e.Stage)}
	if e.Layer >= 0 {
		name = fmt.Sprintf("%s %d %s", e.Stage, e.Layer, registryflags.Short(e.Digest))
		attrs = append(attrs, "layer", strconv.Itoa(e.Layer), "digest", e.Digest.String())
	}
	bar := b.display.Queue(name, e.Total, attrs...)
	b.all[p] = bar
	return bar
}
