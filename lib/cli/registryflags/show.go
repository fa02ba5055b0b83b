package registryflags

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/oci/pull"
)

// Show shows an event on the bar of the work that it is about.
func Show(bar *cli.Bar, e pull.Event) {
	switch e.Kind {
	case pull.EventCached:
		bar.Skip("in the cache")
	case pull.EventStarted:
		bar.Begin()
		bar.Resume(e.Done)
	case pull.EventBytes:
		bar.Set(e.Done)
	case pull.EventRetry:
		bar.Begin()
		bar.Retry(e.Attempt, e.Wait, e.Err)
	case pull.EventDone:
		bar.Set(e.Done)
		bar.Done(nil)
	case pull.EventFailed:
		bar.Done(e.Err)
	}
}
