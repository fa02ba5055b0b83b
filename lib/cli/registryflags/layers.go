package registryflags

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cli"
	"ocipipe/lib/oci/pull"
)

// layerBars shows the events of downloads, one bar a layer.
type layerBars struct {
	show *cli.Progress

	mu   sync.Mutex
	bars map[int]*cli.Bar // by layer; -1 while a manifest or configuration is tried again
}

// ShowLayers returns what shows the events of downloads, one bar a layer.
func ShowLayers(p *cli.Progress) func(pull.Event) {
	l := &layerBars{show: p, bars: map[int]*cli.Bar{}}
	return l.event
}

func (l *layerBars) event(e pull.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.bars[-1]; b != nil && e.Layer >= 0 { // the manifest has arrived
		b.Done(nil)
		delete(l.bars, -1)
	}
	Show(l.bar(e), e)
}

func (l *layerBars) bar(e pull.Event) *cli.Bar {
	b := l.bars[e.Layer]
	if b == nil {
		name, attrs := "manifest", []string(nil)
		if e.Layer >= 0 {
			name = fmt.Sprintf("layer %d %s", e.Layer, Short(e.Digest))
			attrs = []string{"layer", strconv.Itoa(e.Layer), "digest", e.Digest.String()}
		} else if e.Digest != "" {
			name = "configuration"
		}
		b = l.show.Queue(name, e.Total, attrs...)
		l.bars[e.Layer] = b
	}
	return b
}

// Short returns the beginning of a digest, which is enough to recognise it.
func Short(d digest.Digest) string {
	hex := d.Encoded()
	return hex[:min(len(hex), 12)]
}
