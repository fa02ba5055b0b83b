package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
)

// silentInputs are inputs that are silent.
func silentInputs(t *testing.T) map[string]func() (in io.ReadCloser, done func()) {
	open := func(f *os.File, path string) io.ReadCloser {
		env := newEnv("test", Streams{f, os.Stdout, io.Discard})
		in, err := env.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]func() (io.ReadCloser, func()){
		"pipe": func() (io.ReadCloser, func()) {
			var fds [2]int // blocking, as a shell makes them
			if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			return open(os.NewFile(uintptr(fds[0]), "stdin"), "-"), func() { unix.Close(fds[1]) }
		},
		"socket": func() (io.ReadCloser, func()) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			return open(os.NewFile(uintptr(fds[0]), "stdin"), "-"), func() { unix.Close(fds[1]) }
		},
		"named pipe without a writer": func() (io.ReadCloser, func()) { return open(nil, fifo), func() {} },
		"named pipe": func() (io.ReadCloser, func()) {
			in := open(nil, fifo)
			w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			return in, func() { w.Close() }
		},
	}
}

// TestSilentInput: Close ends a Read that waits, whatever it waits for.
func TestSilentInput(t *testing.T) {
	for name, open := range silentInputs(t) {
		before := reftest.RunningNow(t)
		in, done := open()
		var reads sync.WaitGroup
		begun := make(chan struct{})
		reads.Go(func() {
			close(begun)
			if n, err := in.Read(make([]byte, 10)); n != 0 || !errors.Is(err, fs.ErrClosed) {
				t.Errorf("%s: %d bytes, %v", name, n, err)
			}
		})
		<-begun
		for range 3 {
			if err := in.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		reads.Wait()
		if n, err := in.Read(make([]byte, 10)); n != 0 || !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s, closed: %d bytes, %v", name, n, err)
		}
		done()
		before.Left(t)
	}
}

// TestNamedPipeLater: who opens a named pipe before its writer does gets what that
// writes, and not an end.
func TestNamedPipeLater(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := newTestEnv(t, os.Stdout).Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	go os.WriteFile(fifo, []byte("late"), 0)
	if b, err := io.ReadAll(in); string(b) != "late" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
