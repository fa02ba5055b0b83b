package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/blockio"
)

// Image is an output that is written in any order. The file can be read back. It is empty
// at first, holes in it read as zeros, and its length at Commit is the length of the image.
// The caller must not close the *os.File.
type Image struct {
	*os.File
	env    *Env
	name   string
	file   *atomicfile.File // nil for standard output
	spools bool             // File is a spool that Commit copies

	written atomic.Int64 // for the progress, once File is closed

	measured *measured // for the report; nil: not wanted

	mu   sync.Mutex
	over bool
}

// Image opens the random access output of the tool: FILE of -o FILE, which is
// replaced at Commit, or standard output for "-" and "". Standard output is
// written in place if it is an empty regular file at its beginning and not
// opened to append. Everything else (a pipe, a device, a file that is appended
// to) gets the image at Commit, from a spool file in tmpdir, by default $TMPDIR.
//
// Without Commit, or after a failed one, FILE is as it was, and standard output
// that was written in place is empty.
func (e *Env) Image(path, tmpdir string) (*Image, error) {
	file, err := e.openTarget(path, Binary)
	if err != nil {
		return nil, err
	}
	i := &Image{env: e, name: path, file: file, measured: e.measure(path)}
	switch {
	case file == nil:
		i.name = stdoutName
		i.File = reopen(e.Stdout)
	case !file.InPlace():
		i.File = file.File
	}
	if i.File == nil {
		i.spools = true
		if i.File, err = atomicfile.Unnamed(tmpdir); err != nil {
			i.Abort()
			return nil, fmt.Errorf("make spool file: %w", err)
		}
		widen(i.dest())
	}
	e.progress.output(i.File, func() int64 { return max(i.written.Load(), allocated(i.File)) })
	e.addOutput(i)
	return i, nil
}

// dest returns the file that the image ends up in.
func (i *Image) dest() *os.File {
	if i.file != nil {
		return i.file.File
	}
	return i.env.Stdout
}

// Commit completes the output. Standard output is left at the end of the image, where a
// shell may go on writing.
func (i *Image) Commit() error {
	i.env.noteLastWrite()
	i.written.Store(allocated(i.File))
	if err := i.complete(); err != nil {
		return err // i stays pending, so that end aborts it
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return errAborted
	}
	i.over = true
	return nil
}

func (i *Image) complete() error {
	if i.spools {
		if err := i.copy(); err != nil {
			return err
		}
		i.File.Close()
	} else if i.measured != nil {
		if err := i.env.readBack(i.measured, i.File); err != nil {
			return err
		}
	}
	if err := i.env.writeDepfile(); err != nil {
		return err
	}
	if i.file != nil {
		return i.file.Commit()
	}
	if !i.spools {
		end, err := i.File.Seek(0, io.SeekEnd)
		if err == nil {
			_, err = i.dest().Seek(end, io.SeekStart)
		}
		if err == nil {
			err = i.File.Close()
		}
		if err != nil {
			return err
		}
	}
	return closeCopy(i.dest())
}

// Abort discards the output; see Env.Image. It does nothing after Commit.
func (i *Image) Abort() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return
	}
	i.over = true
	if i.File != nil {
		i.File.Close()
	}
	if i.file != nil {
		i.file.Abort()
	} else if i.File != nil && !i.spools {
		emptyForGood(i.dest())
	}
}

// emptyForGood empties f, again and again until f stays empty: another goroutine may still
// be finishing a write that it began before the descriptor was closed.
func emptyForGood(f *os.File) {
	for range 100 {
		makeEmpty(f)
		time.Sleep(5 * time.Millisecond)
		if fi, err := f.Stat(); err != nil || fi.Size() == 0 {
			return
		}
	}
}

func (i *Image) pending() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return ""
	}
	return i.name
}

func (i *Image) flush() {}

// copy copies the spool to dest.
func (i *Image) copy() error {
	size, err := i.File.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	bar := i.env.progress.Start("copy the image", size)
	var dest io.Writer = i.dest()
	if m := i.measured; m != nil {
		if m.size = size; m.sum != nil {
			dest = io.MultiWriter(m.sum, dest)
		}
	}
	err = blockio.CopyExpanded(i.env.Context, barWriter{dest, bar}, i.File, size)
	bar.Done(err)
	return err
}

// barWriter counts the bytes that it writes on a bar.
type barWriter struct {
	io.Writer
	bar *Bar
}

func (c barWriter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.bar.Add(int64(n))
	return n, err
}
