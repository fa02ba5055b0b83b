package cli

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ocipipe/lib/osfile"
)

// watch shows the work of a tool that starts no bars, from outside: how far its input files
// have been read or, if that says nothing (a pipe, a file that is read at random, one that
// has been read to its end), how much has been written. For a tool with bars it only shows
// what is written after the last bar has ended. It asks the kernel for offsets and sizes,
// which costs the work nothing.
type watch struct {
	off atomic.Bool // the tool has bars of its own

	mu      sync.Mutex
	inputs  []*watched
	pipes   []*os.File     // inputs that other tools write
	alone   time.Time      // when they were first seen to have ended
	outputs []func() int64 // bytes written
	total   int64          // that will be written; 0 if that is not known
	read    *Bar
	ended   time.Time // when all was read, or the last bar of the tool was over
	written *Bar
}

// watched is an input that is a regular file.
type watched struct {
	file        *os.File
	start, size int64
	at          int64 // as last seen
}

// input notes an input. As long as that is a pipe with a writer, the terminal is left to
// the tool before this one.
func (p *Progress) input(f *os.File, info fs.FileInfo) {
	if p.display == nil {
		return
	}
	if info.Mode().Type()&(fs.ModeNamedPipe|fs.ModeSocket) != 0 {
		p.watch.mu.Lock()
		p.watch.pipes = append(p.watch.pipes, f)
		p.watch.mu.Unlock()
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

// output notes an output; written returns how many bytes it has.
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

// expect says how many bytes the outputs will have.
func (p *Progress) expect(total int64) {
	p.watch.mu.Lock()
	defer p.watch.mu.Unlock()
	p.watch.total = total
}

func (p *Progress) startWatch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startLocked()
}

// update brings the bars up to date, and ends them when all is done.
func (w *watch) update(p *Progress, done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	own := w.off.Load()
	switch {
	case own && w.isBusy(p):
		w.ended = time.Time{}
	case own || !w.reading(p):
		w.writing(p, own, done)
	}
	if done {
		for _, b := range []*Bar{w.read, w.written} {
			if b != nil {
				b.Done(nil)
			}
		}
	}
}

// isBusy reports whether a bar of the tool has not ended.
func (w *watch) isBusy(p *Progress) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.bars, func(b *Bar) bool { return b != w.read && b != w.written && !b.isOver() })
}

// isAlone reports whether the tools before this one ended at least showAfter ago.
func (w *watch) isAlone(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.pipes {
		if !hungUp(f) {
			return false
		}
	}
	if w.alone.IsZero() {
		w.alone = now
	}
	return len(w.pipes) == 0 || now.Sub(w.alone) >= showAfter
}

// reading shows the inputs while they are being read, and reports whether they are.
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

// writing shows the outputs. If other bars came first, of the inputs or the tool's own, it
// shows them only if the output is not complete shortly after those.
func (w *watch) writing(p *Progress, own, done bool) {
	var sum int64
	for _, written := range w.outputs {
		sum += written()
	}
	follows := own || w.read != nil
	if follows && w.ended.IsZero() {
		w.ended = time.Now()
	}
	if w.written == nil && sum > 0 && (!follows || !done && time.Since(w.ended) > time.Second) {
		w.written = p.Queue("written", 0)
		w.written.beginAt(p.begin)
	}
	if w.written != nil {
		w.written.SetTotal(w.total)
		w.written.Set(max(sum, w.written.count.Load())) // an output may be closed by now
	}
}

// progress returns how many bytes of the inputs have been read, and how many there are.
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

// offset returns where the next read of f begins. It does not move that.
func offset(f *os.File) (int64, error) { return f.Seek(0, io.SeekCurrent) }

// allocated returns how many bytes of disk f takes.
func allocated(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return osfile.Allocated(info)
}
