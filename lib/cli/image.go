package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ocipipe/lib/atomicfile"
)

// Image is an output that is written at random. The file can be read back; it is
// empty at first, holes in it read as zeros, and its length at Commit is the
// length of the image. Whoever is given the *os.File must not close it.
type Image struct {
	*os.File
	env    *Env
	name   string
	file   *atomicfile.File // nil for standard output
	spools bool             // File is a spool that Commit copies

	written atomic.Int64 // for the progress, once File is closed

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
	i := &Image{env: e, name: path, file: file}
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

// reopen opens a fresh standard output for reading too, with an offset of its
// own; nil if it cannot be written in place.
func reopen(stdout *os.File) *os.File {
	if !isFresh(stdout) {
		return nil
	}
	var f *os.File
	control(stdout, func(fd int) (err error) {
		n, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			f = os.NewFile(uintptr(n), stdout.Name())
		}
		return err
	})
	return f
}

// dest is where the image ends up.
func (i *Image) dest() *os.File {
	if i.file != nil {
		return i.file.File
	}
	return i.env.Stdout
}

// Commit completes the output. Standard output is left at the end of the image,
// for what a shell may write behind it.
func (i *Image) Commit() error {
	i.env.sayLastWords()
	i.written.Store(allocated(i.File))
	if err := i.complete(); err != nil {
		return err // and stays pending, so that it is aborted
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
		if err := copyImage(i.dest(), i.File); err != nil {
			return err
		}
		i.File.Close()
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

// Abort gives the output up; see Env.Image. It does nothing after Commit.
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

// emptyForGood empties a file into which another goroutine may be in the middle
// of a last write, although its descriptor has been closed.
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

// copyImage writes all of src to dst, in large pieces. It does not read holes.
func copyImage(dst, src *os.File) error {
	size, err := src.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; {
		data := nextData(src, off, size)
		if err := writeZeros(dst, buf, data-off); err != nil {
			return err
		}
		end := nextHole(src, data, size)
		if _, err := io.CopyBuffer(onlyWriter{dst}, onlyReader{io.NewSectionReader(src, data, end-data)}, buf); err != nil {
			return err
		}
		off = end
	}
	return nil
}

// Without these io.CopyBuffer would leave the buffer alone for smaller ones.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

func writeZeros(dst *os.File, buf []byte, n int64) error {
	if n > 0 {
		clear(buf)
	}
	for n > 0 {
		w, err := dst.Write(buf[:min(n, int64(len(buf)))])
		if err != nil {
			return err
		}
		n -= int64(w)
	}
	return nil
}

// nextData is where the first data at or behind off begins; size if there is
// none, off where the file system does not tell.
func nextData(f *os.File, off, size int64) int64 {
	data, err := f.Seek(off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size
	case err != nil:
		return off
	}
	return min(data, size)
}

// nextHole is where the data at off ends.
func nextHole(f *os.File, off, size int64) int64 {
	if off == size {
		return size
	}
	hole, err := f.Seek(off, unix.SEEK_HOLE)
	if err != nil {
		return size
	}
	return min(hole, size)
}
