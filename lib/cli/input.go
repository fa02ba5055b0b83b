package cli

import (
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Open opens an input; "-" and "" are standard input. It refuses a terminal and a file that
// is an output already, and widens a pipe.
//
// The result is an *os.File for a regular file, a directory or a disk. For anything else,
// such as a pipe, Close interrupts a Read that waits, and returns after it. On Linux a named
// pipe opens at once, and Read waits for its writer; elsewhere Open waits.
func (e *Env) Open(path string) (io.ReadCloser, error) {
	f, info, err := e.open(path)
	if err != nil {
		return nil, err
	}
	if holdsData(info) || info.IsDir() {
		return f, nil
	}
	w, err := newInterruptible(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

// OpenFile is Open for an input that is read at random. It refuses a directory.
func (e *Env) OpenFile(path string) (*os.File, error) {
	f, info, err := e.open(path)
	if err == nil && info.IsDir() {
		f.Close()
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: syscall.EISDIR}
	}
	return f, err
}

func (e *Env) open(path string) (*os.File, fs.FileInfo, error) {
	f := e.Stdin
	if !isStandard(path) {
		var err error
		if f, err = os.OpenFile(path, os.O_RDONLY|withoutWriter(path), 0); err != nil {
			return nil, nil, err
		}
	} else if err := e.checkStdin(); err != nil {
		return nil, nil, err
	} else if isTerminal(f) {
		return nil, nil, Hint(Usage("%s: is a terminal", stdinName), "name a file, or connect a pipe: "+e.name+" < FILE")
	}
	info, err := f.Stat()
	if err := e.addInput(path, info, err); err != nil {
		f.Close()
		return nil, nil, err
	}
	if !info.IsDir() { // what is read of a directory is opened too
		e.dependsOn(path, info)
	}
	e.progress.input(f, info)
	widen(f)
	return f, info, nil
}
