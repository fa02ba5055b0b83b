package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// watch shows the work of a tool that starts no bars, from outside: how far its
// input files have been read; and where that does not tell (a pipe, a file that is
// read at random, one that has been read to its end) how much has been written.
// It asks the kernel for offsets and sizes, and so costs the copying nothing.
type watch struct {
	off atomic.Bool // the tool has bars of its own

	mu      sync.Mutex
	inputs  []*watched
	outputs []func() int64 // bytes written
	read    *Bar
	ended   time.Time // when all was read
	written *Bar
}

// watched is an input that is a regular file.
type watched struct {
	file        *os.File
	start, size int64
	at          int64 // as last seen
}

// input notes an input. One that is a pipe means that another tool before this one
// has more to say.
func (p *Progress) input(f *os.File, info fs.FileInfo) {
	if p.display == nil {
		return
	}
	if info.Mode().Type()&(fs.ModeNamedPipe|fs.ModeSocket) != 0 {
		p.mute()
	}
	if !info.Mode().IsRegular() {
		return
	}
	w := &watched{file: f, size: info.Size()}
	w.start, _ = offset(f)
	w.at = w.start
	p.watch.mu.Lock()
	p.watch.inputs = append(p.watch.inputs, w)
	p.watch.mu.Unlock()
	p.startWatch()
}

// output notes an output; written says how much of it there is.
func (p *Progress) output(f *os.File, written func() int64) {
	if p.display == nil {
		return
	}
	if isTerminal(f) {
		p.mute()
	}
	p.watch.mu.Lock()
	p.watch.outputs = append(p.watch.outputs, written)
	p.watch.mu.Unlock()
	p.startWatch()
}

func (p *Progress) startWatch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startLocked()
}

// look brings the bars up to date, and ends them when all is done.
func (w *watch) look(p *Progress, done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off.Load() {
		return
	}
	if !w.reading(p) {
		w.writing(p, done)
	}
	if done {
		for _, b := range []*Bar{w.read, w.written} {
			if b != nil {
				b.Done(nil)
			}
		}
	}
}

// reading shows the inputs as long as they are being read.
func (w *watch) reading(p *Progress) bool {
	done, total := w.progress()
	now := done > 0 && done < total
	if now && w.read == nil {
		w.read = p.Queue("read "+w.name(), total)
		w.read.beginAt(p.begin)
	}
	if w.read != nil {
		w.read.SetTotal(total)
		w.read.Set(done)
		if !now {
			w.read.Done(nil)
		}
	}
	return now
}

// writing shows the outputs, but not one that is complete just behind its input.
func (w *watch) writing(p *Progress, done bool) {
	var sum int64
	for _, written := range w.outputs {
		sum += written()
	}
	if w.read != nil && w.ended.IsZero() {
		w.ended = time.Now()
	}
	if w.written == nil && sum > 0 && (w.read == nil || !done && time.Since(w.ended) > time.Second) {
		w.written = p.Queue("written", 0)
		w.written.beginAt(p.begin)
	}
	if w.written != nil {
		w.written.Set(max(sum, w.written.count.Load())) // an output may be closed by now
	}
}

// progress adds up how far the inputs have been read, and what there is to read.
func (w *watch) progress() (done, total int64) {
	for _, in := range w.inputs {
		if at, err := offset(in.file); err != nil {
			in.at = in.size // closed
		} else {
			in.at = max(in.at, min(at, in.size))
		}
		done += in.at - in.start
		total += in.size - in.start
	}
	return done, total
}

func (w *watch) name() string {
	name := w.inputs[0].file.Name()
	switch {
	case len(w.inputs) > 1:
		return "inputs"
	case name == os.Stdin.Name():
		return stdinName
	}
	return filepath.Base(name)
}

// offset is where the next read of f begins. It moves nothing.
func offset(f *os.File) (at int64, err error) {
	err = control(f, func(fd int) (err error) {
		at, err = unix.Seek(fd, 0, unix.SEEK_CUR)
		return err
	})
	return at, err
}

// allocated is how much data f holds.
func allocated(f *os.File) int64 {
	var blocks int64
	control(f, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		blocks = st.Blocks
		return nil
	})
	return blocks * 512
}
