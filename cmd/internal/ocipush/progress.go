package ocipush

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/registryflags"
	"ocipipe/lib/cli/report"
	"ocipipe/lib/oci/push"
)

// blobBars shows the events of a push, one bar a blob.
type blobBars struct {
	show *cli.Progress

	mu   sync.Mutex
	bars map[digest.Digest]*cli.Bar // "" while a request about manifests is tried again
}

func showBlobs(p *cli.Progress) func(push.Event) {
	p.Own()
	b := &blobBars{show: p, bars: map[digest.Digest]*cli.Bar{}}
	return b.event
}

func (b *blobBars) event(e push.Event) {
	bar := b.bar(e)
	switch e.Kind {
	case push.EventThere:
		bar.Skip("in the registry")
	case push.EventMounted:
		bar.Skip("taken over from " + e.From)
	case push.EventForeign:
		bar.Skip("not distributed with the image")
	case push.EventStarted:
		bar.Begin()
	case push.EventBytes:
		bar.Set(e.Sent)
	case push.EventRetry:
		bar.Begin()
		bar.Retry(e.Attempt, e.Wait, e.Err)
	case push.EventDone:
		bar.Set(e.Blob.Size)
		bar.Done(nil)
	case push.EventFailed:
		bar.Done(e.Err)
	}
}

func (b *blobBars) bar(e push.Event) *cli.Bar {
	b.mu.Lock()
	defer b.mu.Unlock()
	bar := b.bars[e.Blob.Digest]
	if bar == nil {
		bar = b.show.Queue(title(e), e.Blob.Size, attributes(e)...)
		b.bars[e.Blob.Digest] = bar
	}
	return bar
}

// count counts the blobs in to, and passes all events on.
func count(to *report.Blobs, next func(push.Event)) func(push.Event) {
	var mu sync.Mutex
	return func(e push.Event) {
		mu.Lock()
		switch e.Kind {
		case push.EventDone:
			to.Pushed.Add(e.Blob.Size)
		case push.EventMounted:
			to.Mounted.Add(e.Blob.Size)
		case push.EventThere, push.EventForeign:
			to.Skipped.Add(e.Blob.Size)
		}
		mu.Unlock()
		next(e)
	}
}

func title(e push.Event) string {
	name := "configuration"
	switch {
	case e.Blob.Digest == "":
		return "manifest"
	case e.Layer >= 0:
		name = fmt.Sprintf("layer %d %s", e.Layer, registryflags.Short(e.Blob.Digest))
	}
	if e.Platform != "" {
		name = e.Platform + " " + name
	}
	return name
}

// attributes are what JSON shows besides.
func attributes(e push.Event) (attrs []string) {
	if e.Blob.Digest == "" {
		return nil
	}
	if e.Layer >= 0 {
		attrs = append(attrs, "layer", strconv.Itoa(e.Layer))
	}
	if e.Platform != "" {
		attrs = append(attrs, "platform", e.Platform)
	}
	return append(attrs, "digest", e.Blob.Digest.String())
}
