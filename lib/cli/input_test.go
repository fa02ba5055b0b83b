package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
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
		t.Run(name, func(t *testing.T) {
			before := reftest.RunningNow(t)
			in, done := open()
			var reads sync.WaitGroup
			begun := make(chan struct{})
			reads.Go(func() {
				close(begun)
				if n, err := in.Read(make([]byte, 10)); n != 0 || !errors.Is(err, fs.ErrClosed) {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
			<-begun
			for range 3 {
				if err := in.Close(); err != nil {
					t.Error(err)
				}
			}
			reads.Wait()
			if n, err := in.Read(make([]byte, 10)); n != 0 || !errors.Is(err, fs.ErrClosed) {
				t.Errorf("closed: %d bytes, %v", n, err)
			}
			done()
			before.Left(t)
		})
	}
}

// TestNamedPipeLater: a tool that opens a named pipe before its writer does waits for what
// that writes, instead of finding the end.
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

// leaving starts the probe with a silent input and the writing end of a pair, and returns
// how it ended once the other end is closed.
func leaving(t *testing.T, fds [2]int, args ...string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	cmd := command(t, args...)
	cmd.Stdin = r
	out := os.NewFile(uintptr(fds[1]), "out")
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	unix.Close(fds[0])
	cmd.Wait()
	return statusOf(cmd)
}

// TestReaderLeaves: a tool that waits for input ends when its reader has gone.
func TestReaderLeaves(t *testing.T) {
	pipe := func() (fds [2]int) {
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return fds
	}
	socket := func() [2]int {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fds
	}
	for name, out := range map[string]func() [2]int{"pipe": pipe, "socket": socket} {
		for _, flag := range []string{"--text", "--image"} {
			if status := leaving(t, out(), flag); status != syscall.SIGPIPE.String() {
				t.Errorf("%s, %s: ended with %s", name, flag, status)
			}
		}
	}
}

// TestReaderLeavesAnother: if standard output is not used, or is not a pipe, the tool goes
// on to the end of its input.
func TestReaderLeavesAnother(t *testing.T) {
	gone := func() *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		return w
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		out  *os.File
		args []string
	}{
		"-o FILE": {gone(), []string{"-o", filepath.Join(dir, "f")}},
		"null":    {null, nil},
	} {
		cmd := command(t, c.args...)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin, cmd.Stdout = r, c.out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r.Close()
		w.Write([]byte("some"))
		w.Close()
		cmd.Wait()
		c.out.Close()
		if status := statusOf(cmd); status != "0" {
			t.Errorf("%s: ended with %s", name, status)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "f")); string(b) != "some" {
		t.Errorf("-o FILE holds %q", b)
	}
}

// TestLastWords: a reader that leaves after it has read everything has not left early.
func TestLastWords(t *testing.T) {
	for range 100 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := command(t)
		cmd.Stdout = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		io.ReadFull(r, make([]byte, len("input")))
		r.Close()
		cmd.Wait()
		if status := statusOf(cmd); status != "0" {
			t.Fatalf("ended with %s", status)
		}
	}
}
