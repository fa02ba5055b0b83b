package atomicfile

import (
	"os"
	"sync"
	"time"
)

// How often a file is looked at: often while it changes, and more and more rarely while it
// does not.
const (
	firstLook  = 20 * time.Millisecond
	rarestLook = 640 * time.Millisecond
)

// WriteBack makes the kernel begin to write f to disk while more is written to it, by whom
// and in whatever order, so that a Sync at the end finds little left. It makes nothing
// durable by itself, and takes no error from that Sync. The caller calls stop, which does not
// wait, before or after closing f.
func WriteBack(f *os.File) (stop func()) {
	done := make(chan struct{})
	go writeBack(f, done)
	return sync.OnceFunc(func() { close(done) })
}

// writeBack looks at f until done is closed, or f is closed or cannot be written back early.
func writeBack(f *os.File, done <-chan struct{}) {
	last, wait := int64(0), firstLook
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-done:
			return
		}
		blocks, err := startAll(f)
		if err != nil {
			return
		}
		if wait = min(2*wait, rarestLook); blocks != last {
			last, wait = blocks, firstLook
		}
		timer.Reset(wait)
	}
}
