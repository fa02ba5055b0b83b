package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
)

// shell runs a line in which "probe" is the tool with these flags.
func shell(t *testing.T, dir, flags, line string) (status, stderr string) {
	t.Helper()
	cmd := command(t)
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", "probe() { '" + os.Args[0] + "' " + flags + " \"$@\"; }\n" + line}
	cmd.Dir, cmd.Stdin = dir, nil
	return run(t, cmd)
}

// TestStandardOutput tests the rules of Stream and Image as a user sees them.
func TestStandardOutput(t *testing.T) {
	for _, c := range []struct {
		name, line   string
		status, file string // the file called out in the end; "-" for none
	}{
		{"new file", "echo new | probe > out", "0", "new\n"},
		{"replaced", "echo old > out; echo new | probe -o out", "0", "new\n"},
		{"failure empties", "echo new | probe --do=fail > out", "1", ""},
		{"forgotten empties", "echo new | probe --do=forget > out", "1", ""},
		{"append", "echo old > out; echo new | probe >> out", "0", "old\nnew\n"},
		{"append to nothing", "echo new | probe >> out", "0", "new\n"},
		{"failure keeps what was appended to", "echo old > out; probe --do=fail < /dev/null >> out", "1", "old\n"},
		{"behind others", "{ echo first; echo new | probe; echo last; } > out", "0", "first\nnew\nlast\n"},
		{"before others", "{ echo new | probe; echo last; } > out", "0", "new\nlast\n"},
		{"failure behind others", "{ echo first; probe --do=fail < /dev/null; } > out", "1", "first\n"},
		{"failure before others", "{ echo new | probe --do=fail; echo last; } > out", "0", "last\n"},
		{"not truncated", "echo longer than that > out; echo new | probe 1<> out", "0", "new\ner than that\n"},
		{"read and write", "echo new | probe 1<> out", "0", "new\n"},
		{"pipe", "echo new | probe | cat > out", "0", "new\n"},
		{"fifo", "mkfifo p; cat p > out & echo new | probe -o p; wait; test -p p", "0", "new\n"},
		{"fifo, failure", "mkfifo p; cat p > /dev/null & echo new | probe --do=fail -o p || { wait; test -p p; }", "0", "-"},
		{"failure leaves the target", "echo old > out; echo new | probe --do=fail -o out", "1", "old\n"},
		{"failure makes no target", "echo new | probe --do=fail -o out", "1", "-"},
		{"symlink", "echo old > out; ln -s out l; echo new | probe -o l; test -L l", "0", "new\n"},
		{"dash", "echo new | probe -o - - > out", "0", "new\n"},
	} {
		for _, flags := range []string{"", "--image"} {
			t.Run(c.name+flags, func(t *testing.T) {
				dir := t.TempDir()
				status, stderr := shell(t, dir, flags, c.line)
				if status != c.status {
					t.Errorf("status %s, want %s; %q", status, c.status, stderr)
				}
				b, err := os.ReadFile(filepath.Join(dir, "out"))
				if c.file == "-" && err == nil || c.file != "-" && string(b) != c.file {
					t.Errorf("out holds %q, %v; want %q", b, err, c.file)
				}
				if debris, _ := filepath.Glob(dir + "/.*"); len(debris) > 0 {
					t.Errorf("debris: %q", debris)
				}
			})
		}
	}
}

// With --no-sync FILE is complete, and need not be on the disk.
func TestNoSync(t *testing.T) {
	for _, flags := range []string{"", "--image"} {
		for _, noSync := range []string{"", "--no-sync"} {
			dir := t.TempDir()
			if status, stderr := shell(t, dir, flags+" "+noSync, "head -c 4M /dev/zero | probe -o out"); status != "0" {
				t.Fatalf("status %s, %q", status, stderr)
			}
			f, err := os.Open(filepath.Join(dir, "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if n := reftest.DirtyPages(t, f); (n > 0) != (noSync != "") {
				t.Errorf("%s %s: %d pages are dirty", flags, noSync, n)
			}
			if fi, err := f.Stat(); err != nil || fi.Size() != 4<<20 {
				t.Errorf("%s %s: %v, %v", flags, noSync, fi, err)
			}
		}
	}
}

// TestSparseImage: holes stay holes in a file and become zeros in a pipe.
func TestSparseImage(t *testing.T) {
	want := make([]byte, 5<<20)
	copy(want, "input")
	copy(want[3<<20:], "end")
	for _, line := range []string{
		"probe --image --do=sparse > out",
		"probe --image --do=sparse -o out",
		"probe --image --do=sparse | cat > out",
		"probe --image --do=sparse >> out",
	} {
		dir := t.TempDir()
		if status, stderr := shell(t, dir, "", "printf input | "+line); status != "0" {
			t.Errorf("%s: %s, %q", line, status, stderr)
		}
		path := filepath.Join(dir, "out")
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: wrong bytes, %v", line, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		if in := st.Blocks * 512; !strings.ContainsAny(line[5:], "|") && !strings.Contains(line, ">>") && in >= 1<<20 {
			t.Errorf("%s: occupies %d bytes", line, in)
		}
	}
}

// newTestEnv is an Env on pipes and files of the test.
func newTestEnv(t *testing.T, stdout *os.File) *Env {
	t.Helper()
	in, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return newEnv("test", Streams{in, stdout, io.Discard})
}

func TestWidePipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := newTestEnv(t, w).Stream("", Binary); err != nil {
		t.Fatal(err)
	}
	size, err := unix.FcntlInt(r.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil || size != 1<<20 {
		t.Errorf("pipe holds %d, %v", size, err)
	}
}

// TestStreamWrites: pieces of any size arrive in order, and in large writes.
func TestStreamWrites(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	env := newTestEnv(t, w)
	s, err := env.Stream("", Binary)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(r)
		got <- b
	}()
	for i, n := range []int{1, noCopy - 1, noCopy, blockSize - 1, blockSize, 3, blockSize + 1, 2*blockSize - 4, 0, 5, 3 * blockSize} {
		p := bytes.Repeat([]byte{byte('a' + i)}, n)
		want.Write(p)
		if m, err := s.Write(p); m != n || err != nil {
			t.Errorf("write of %d: %d, %v", n, m, err)
		}
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if b := <-got; !bytes.Equal(b, want.Bytes()) {
		t.Error("the bytes arrived changed")
	}
}

// TestStreamWriteFrom: bytes of a file arrive like bytes that are written, and reach a pipe
// without a copy.
func TestStreamWriteFrom(t *testing.T) {
	data := make([]byte, 8*blockSize)
	for i := range data {
		data[i] = byte(i>>8) ^ byte(i)
	}
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(s *Stream) (want []byte) {
		for i, n := range []int{blockSize, 17, noCopy - 1, noCopy, blockSize + 1, 0, 5 * blockSize, blockSize - 1, 2 * blockSize} {
			off := 4095 * i
			want = append(append(want, data[off:off+n]...), 'x')
			if m, err := s.WriteFrom(f, int64(off), data[off:off+n]); m != n || err != nil {
				t.Errorf("%d: %d, %v", n, m, err)
			}
			s.Write([]byte("x"))
		}
		if err := s.Commit(); err != nil {
			t.Error(err)
		}
		return want
	}
	t.Run("pipe", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(r)
			got <- b
		}()
		s, err := newTestEnv(t, w).Stream("", Binary)
		if err != nil {
			t.Fatal(err)
		}
		want := write(s)
		w.Close()
		if b := <-got; !bytes.Equal(b, want) {
			t.Error("the bytes arrived changed")
		}
		if s.move == nil {
			t.Error("all of it was copied")
		}
	})
	t.Run("file", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out")
		s, err := newTestEnv(t, os.Stdout).Stream(out, Binary)
		if err != nil {
			t.Fatal(err)
		}
		want := write(s)
		if b, err := os.ReadFile(out); err != nil || !bytes.Equal(b, want) {
			t.Errorf("the file differs, %v", err)
		}
	})
	t.Run("nobody reads", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		s, err := newTestEnv(t, w).Stream("", Binary)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if _, err := s.WriteFrom(f, 0, data); !errors.Is(err, unix.EPIPE) {
			t.Errorf("error %v", err)
		}
	})
}

// TestStreamTakeFrom: the kernel moves what lies in a file to a pipe or a file.
func TestStreamTakeFrom(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 2<<20/16)
	in, err := os.Create(filepath.Join(t.TempDir(), "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.Write(data)
	want := append(append([]byte("first"), data[1000:]...), "last"...)
	write := func(s *Stream) {
		s.Write([]byte("first"))
		if n := s.TakeFrom(in, 1000, int64(len(data)-1000)); n != int64(len(data)-1000) {
			t.Errorf("%d bytes were taken", n)
		}
		s.Write([]byte("last"))
		if err := s.Commit(); err != nil {
			t.Error(err)
		}
	}
	t.Run("pipe", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		s, err := newTestEnv(t, w).Stream("", Binary)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			write(s)
			w.Close()
		}()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, want %d, or others: %v", len(got), len(want), err)
		}
	})
	path := filepath.Join(t.TempDir(), "out")
	t.Run("file", func(t *testing.T) {
		s, err := newTestEnv(t, os.Stdout).Stream(path, Binary)
		if err != nil {
			t.Fatal(err)
		}
		write(s)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, want %d, or others: %v", len(got), len(want), err)
		}
	})
	t.Run("too short", func(t *testing.T) {
		s, err := newTestEnv(t, os.Stdout).Stream(path, Binary)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Abort()
		if n := s.TakeFrom(in, 1000, int64(len(data))); n != int64(len(data)-1000) {
			t.Errorf("%d bytes were taken of %d", n, len(data)-1000)
		}
	})
	t.Run("aborted", func(t *testing.T) {
		s, err := newTestEnv(t, os.Stdout).Stream(path, Binary)
		if err != nil {
			t.Fatal(err)
		}
		s.Abort()
		if n := s.TakeFrom(in, 0, 10); n != 0 {
			t.Errorf("%d bytes were taken", n)
		}
		if _, err := s.Write([]byte("x")); err == nil {
			t.Error("no error")
		}
	})
}

// TestStreamPlace: the caller writes bytes to their place itself, and Write those around.
func TestStreamPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s, err := newTestEnv(t, os.Stdout).Stream(path, Binary)
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("first"))
	f, off := s.Place()
	if f == nil || off != 5 {
		t.Fatalf("place %v, %d", f, off)
	}
	if err := s.Skip(6); err != nil {
		t.Error(err)
	}
	s.Write([]byte("last"))
	f.WriteAt([]byte("second"), off)
	if err := s.Commit(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "firstsecondlast" {
		t.Errorf("%q, %v", got, err)
	}
	for _, name := range []string{"-", "/dev/null"} {
		s, err := newTestEnv(t, os.Stderr).Stream(name, Text)
		if err != nil {
			t.Fatal(err)
		}
		if f, _ := s.Place(); f != nil {
			t.Errorf("%s has a place", name)
		}
	}
}

// TestStreamKeepsError: the first failure is the one that counts.
func TestStreamKeepsError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	s, err := newTestEnv(t, full).Stream("", Binary)
	if err != nil {
		t.Fatal(err)
	}
	_, first := s.Write(make([]byte, blockSize))
	s.out.Close()
	_, second := s.Write([]byte("x"))
	if first == nil || second != first || s.Commit() != first {
		t.Errorf("errors %v, %v, %v", first, second, s.Commit())
	}
}

func TestSpoolDir(t *testing.T) {
	t.Setenv("TMPDIR", "/env")
	env := newTestEnv(t, os.Stdout)
	for _, c := range []struct{ output, tmpdir, want string }{
		{"", "", "/env"}, {"-", "", "/env"}, {"x/out", "", "x"}, {"out", "", "."}, {"/dev/null", "", "/env"}, {"x/out", "/flag", "/flag"}, {"", "/flag", "/flag"},
	} {
		if got := env.SpoolDir(c.output, c.tmpdir); got != c.want {
			t.Errorf("SpoolDir(%q, %q) = %q, want %q", c.output, c.tmpdir, got, c.want)
		}
	}
}

func TestReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	os.WriteFile(path, []byte("x"), 0o600)
	env := newTestEnv(t, os.Stdout)
	if err := env.Reads(path + "-missing"); err != nil {
		t.Error(err)
	}
	if err := env.Reads(path); err != nil {
		t.Error(err)
	}
	if _, err := env.Stream(path, Binary); err == nil {
		t.Error("Stream overwrites what Reads named")
	}
	env = newTestEnv(t, os.Stdout)
	s, err := env.Stream(path, Binary)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abort()
	if f, err := env.Open(path); err == nil {
		t.Errorf("Open reads what Stream overwrites: %v", f)
	}
}

func TestWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	os.WriteFile(path, []byte("x"), 0o600)
	env := newTestEnv(t, os.Stdout)
	for _, p := range []string{path + "-missing", path} {
		if err := env.Writes(p); err != nil {
			t.Error(err)
		}
	}
	for _, p := range []string{path + "-missing", path} {
		if err := env.Writes(p); err == nil {
			t.Errorf("%s is written twice", p)
		}
	}
	if f, err := env.Open(path); err == nil {
		t.Errorf("Open reads what a library overwrites: %v", f)
	}
	env = newTestEnv(t, os.Stdout)
	if err := env.Reads(path); err != nil {
		t.Fatal(err)
	}
	if err := env.Writes(path); err == nil {
		t.Error("a library overwrites what another reads")
	}
	if err := env.Writes(filepath.Join(path, "below a file")); err == nil {
		t.Error("a path that cannot be is accepted")
	}
}

// TestCauseNotIntoInput: a tool that writes the cause of its failure into its stream does
// not write it into its own input.
func TestCauseNotIntoInput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	os.WriteFile(path, []byte("input"), 0o600)
	for _, flags := range []int{os.O_RDWR, os.O_WRONLY | os.O_APPEND} {
		f, err := os.OpenFile(path, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		env := newTestEnv(t, f)
		s, err := env.Stream("", Binary)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := env.Open(path); err == nil {
			t.Error("Open reads what Stream writes")
		}
		s.Write([]byte("cause"))
		s.Write(make([]byte, blockSize))
		env.end(true)
		if b, err := os.ReadFile(path); string(b) != "input" {
			t.Errorf("the input holds %.20q, %v", b, err)
		}
	}
}

func TestFresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, c := range []struct {
		name    string
		flags   int
		content string
		offset  int64
		want    bool
	}{
		{"empty", os.O_WRONLY, "", 0, true},
		{"behind its end", os.O_WRONLY, "", 5, false},
		{"appending", os.O_WRONLY | os.O_APPEND, "", 0, false},
		{"not empty", os.O_RDWR, "x", 0, false},
	} {
		os.WriteFile(path, []byte(c.content), 0o600)
		f, err := os.OpenFile(path, c.flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(c.offset, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if got := isFresh(f); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		f.Close()
	}
	if null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0); err != nil || isFresh(null) {
		t.Errorf("/dev/null is fresh, %v", err)
	}
}
