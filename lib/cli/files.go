package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/osfile"
)

// The names of the standard streams in messages.
const (
	stdinName  = "standard input"
	stdoutName = "standard output"
)

func isStandard(path string) bool { return path == "" || path == "-" }

// Reads registers an input that a library opens by its name, so that an output to
// the same file is refused, and that --depfile has it. A directory is an input if the
// names in it are.
func (e *Env) Reads(path string) error {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // opening it gives the better error
	}
	if err := e.addInput(path, fi, err); err != nil {
		return err
	}
	e.dependsOn(path, fi)
	return nil
}

// Writes is Reads for an output: an input from the same file is refused, and so is another
// output to it.
func (e *Env) Writes(path string) error {
	fi, err := os.Stat(path)
	return e.addTarget("output", path, fi, err)
}

// SpoolDir returns the directory for spool files: tmpdir if that is given, else that of
// output if output is a regular file or a new one, else $TMPDIR.
func (e *Env) SpoolDir(output, tmpdir string) string {
	if tmpdir != "" {
		return tmpdir
	}
	if isStandard(output) {
		return os.TempDir()
	}
	if fi, err := os.Stat(output); err == nil && !fi.Mode().IsRegular() {
		return os.TempDir()
	}
	return filepath.Dir(output)
}

func (e *Env) addOutput(o output) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outputs = append(e.outputs, o)
}

// control is osfile.Control for functions that take an int.
func control(f *os.File, use func(fd int) error) error {
	return osfile.Control(f, func(fd uintptr) error { return use(int(fd)) })
}

func isTerminal(f *os.File) bool {
	is := false
	osfile.Control(f, func(fd uintptr) error {
		is = term.IsTerminal(int(fd))
		return nil
	})
	return is
}

// copyRange makes the kernel copy n bytes of f at off to the current offset of out, and
// returns how many it copied.
func copyRange(out, f *os.File, off, n int64) int64 { return osfile.CopyRange(out, -1, f, off, n) }

// isFresh reports whether f is an empty regular file at offset 0 that does not append. The
// tool may write such a file in any order, and empty it again.
func isFresh(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() || fi.Size() != 0 {
		return false
	}
	if off, err := f.Seek(0, io.SeekCurrent); err != nil || off != 0 {
		return false
	}
	return !appends(f)
}

// closeCopy closes a duplicate of f: only then do network file systems report whether the
// writes succeeded.
func closeCopy(f *os.File) error {
	again, err := osfile.Duplicate(f)
	if err != nil {
		return err
	}
	return again.Close()
}

// openTarget opens the file at path for an output of either kind. It refuses an input and,
// for binary data, a terminal. The file is nil for standard output.
func (e *Env) openTarget(path string, kind Kind) (*atomicfile.File, error) {
	if e.depfile != nil {
		e.depfile.waits = true
	}
	if isStandard(path) {
		if err := e.checkStdout(); err != nil {
			return nil, err
		}
		if kind == Binary && isTerminal(e.Stdout) {
			return nil, errTerminal(stdoutName)
		}
		fi, err := e.Stdout.Stat()
		if err != nil {
			return nil, err
		}
		if e.report.flags.ReportFile == "-" {
			return nil, Hint(Usage("--report=-: standard output is the output already"), "name a file: --report=FILE, or -o FILE")
		}
		e.Expect(path)
		return nil, e.addTarget("output", path, fi, nil)
	}
	if err := e.Writes(path); err != nil && errors.As(err, new(*usageError)) {
		return nil, err
	}
	file, err := atomicfile.Create(path)
	if err == nil && kind == Binary && file.InPlace() && isTerminal(file.File) {
		file.Abort()
		return nil, errTerminal(path)
	}
	if err == nil && e.noSync {
		file.NoSync()
	}
	return file, err
}

func errTerminal(path string) error {
	return Hint(Usage("%s: is a terminal, and the data is binary", path), "use -o FILE, or connect a pipe")
}
