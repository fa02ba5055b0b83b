package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ocipipe/lib/reftest"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("ATOMICFILE_HANG"); path != "" {
		hang(path)
	}
	os.Exit(m.Run())
}

// hang is the child of TestKilled: it writes half a file and waits for its end.
func hang(path string) {
	f, err := Create(path)
	if err == nil {
		_, err = f.Write([]byte("half"))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

func create(t *testing.T, path, content string) *File {
	t.Helper()
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return f
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || string(b) != want {
		t.Errorf("%s = %q, %v; want %q", filepath.Base(path), b, err, want)
	}
}

// wantNames checks that dir holds these names and no debris.
func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	ents, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ents {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("directory holds %q, want %q", got, want)
	}
}

func TestCommit(t *testing.T) {
	for _, existing := range []bool{false, true} {
		t.Run(fmt.Sprintf("existing=%v", existing), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out")
			if existing {
				os.WriteFile(path, []byte("old"), 0o640)
			}
			f := create(t, path, "..w")
			if _, err := f.WriteAt([]byte("ne"), 0); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 3)
			if _, err := f.ReadAt(b, 0); err != nil || string(b) != "new" {
				t.Errorf("read back %q, %v", b, err)
			}
			if existing {
				wantFile(t, path, "old")
			} else if hidesTemps(dir) {
				wantNames(t, dir)
			}
			if err := f.Commit(); err != nil {
				t.Fatal(err)
			}
			f.Abort()
			wantFile(t, path, "new")
			wantNames(t, dir, "out")
			if _, err := f.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
				t.Errorf("write after Commit: %v", err)
			}
			if err := f.Commit(); err == nil {
				t.Error("second Commit succeeded")
			}
		})
	}
}

func TestAbort(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	os.WriteFile(path, []byte("old"), 0o666)
	f := create(t, path, "new")
	f.Abort()
	f.Abort()
	f.Close()
	wantFile(t, path, "old")
	wantNames(t, dir, "out")
	if err := f.Commit(); !errors.Is(err, ErrAborted) {
		t.Errorf("Commit after Abort: %v", err)
	}
}

func TestNamedTemporary(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	for _, commit := range []bool{false, true} {
		f := create(t, path, "")
		named := &File{target: path, dir: f.dir, base: f.base, stop: f.stop}
		var err error
		f.File.Close()
		if named.File, named.temp, err = f.dir.createNamed(path, 0o666); err != nil {
			t.Fatal(err)
		}
		io.WriteString(named, "new")
		if commit {
			if err := named.Commit(); err != nil {
				t.Fatal(err)
			}
			wantNames(t, dir, "out")
			wantFile(t, path, "new")
		} else {
			named.Abort()
			wantNames(t, dir)
		}
	}
}

func TestMode(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	for _, c := range []struct {
		name     string
		existing fs.FileMode
		want     fs.FileMode
	}{{"new", 0, 0o640}, {"wider", 0o666, 0o666}, {"narrower", 0o600, 0o600}, {"executable", 0o755, 0o755}} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			if c.existing != 0 {
				os.WriteFile(path, nil, 0o600)
				os.Chmod(path, c.existing)
			}
			if err := create(t, path, "x").Commit(); err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(path)
			if err != nil || fi.Mode() != c.want {
				t.Errorf("mode %v, %v; want %v", fi.Mode(), err, c.want)
			}
		})
	}
}

func TestSymlink(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "real/sub"), 0o777)
	os.Symlink("real/sub", filepath.Join(dir, "d"))
	for _, c := range []struct{ name, link, lands string }{
		{"relative", "real/a", "real/a"},
		{"through a linked directory", "d/../b", "real/b"}, // lexically it would be ./b
		{"absolute", filepath.Join(dir, "real/c"), "real/c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, "link")
			os.Remove(path)
			if err := os.Symlink(c.link, path); err != nil {
				t.Fatal(err)
			}
			for _, content := range []string{"dangling", "existing"} {
				if err := create(t, path, content).Commit(); err != nil {
					t.Fatal(err)
				}
				wantFile(t, filepath.Join(dir, c.lands), content)
			}
			if fi, err := os.Lstat(path); err != nil || fi.Mode().Type() != fs.ModeSymlink {
				t.Errorf("the link itself was replaced: %v, %v", fi, err)
			}
		})
	}
	loop := filepath.Join(dir, "loop")
	os.Symlink("loop", loop)
	if _, err := Create(loop); !errors.Is(err, unix.ELOOP) {
		t.Errorf("loop: %v", err)
	}
}

func TestInPlace(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte)
	go func() {
		b, _ := os.ReadFile(fifo)
		got <- b
	}()
	f := create(t, fifo, "through the pipe")
	if !f.InPlace() {
		t.Error("a fifo is not in place")
	}
	if err := f.Commit(); err != nil {
		t.Error(err)
	}
	if b := <-got; string(b) != "through the pipe" {
		t.Errorf("read %q", b)
	}
	wantNames(t, dir, "fifo")
	if fi, _ := os.Lstat(fifo); fi.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("fifo became %v", fi.Mode())
	}

	if err := create(t, "/dev/null", "x").Commit(); err != nil {
		t.Error(err)
	}
	full, err := Create("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer full.Abort()
	if _, err := full.Write([]byte("x")); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write to /dev/full: %v", err)
	}
}

// TestNameless: a pipe that has no name but through a descriptor, as /dev/stdout
// and what a shell makes of >(command).
func TestNameless(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	link := filepath.Join(t.TempDir(), "link")
	name := fmt.Sprintf("/proc/self/fd/%d", w.Fd())
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{name, link} {
		f, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if !f.InPlace() {
			t.Errorf("%s is not written in place", path)
		}
		if _, err := f.WriteString("data"); err != nil {
			t.Error(err)
		}
		if err := f.Commit(); err != nil {
			t.Error(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != "data" {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestCreateErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, path string
		want       error
	}{
		{"empty", "", unix.ENOENT},
		{"directory", dir, unix.EISDIR},
		{"slash", filepath.Join(dir, "new") + "/", unix.EISDIR},
		{"no parent", filepath.Join(dir, "no/out"), fs.ErrNotExist},
		{"parent is a file", "/dev/null/out", unix.ENOTDIR},
		{"name too long", filepath.Join(dir, strings.Repeat("n", 256)), unix.ENAMETOOLONG},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Create(c.path)
			if f != nil || !errors.Is(err, c.want) {
				t.Fatalf("Create = %v, %v; want %v", f, err, c.want)
			}
			if !strings.HasPrefix(err.Error(), c.path+": ") {
				t.Errorf("%q does not name the path first", err)
			}
			if plain := c.path + ": " + c.want.Error(); c.want == unix.EISDIR || c.want == unix.ENOTDIR {
				if err.Error() != plain {
					t.Errorf("%q, want %q", err, plain)
				}
			}
		})
	}
	wantNames(t, dir)
}

// TestDirectoryGone: what cannot be published leaves nothing behind.
func TestDirectoryGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	os.Mkdir(dir, 0o777)
	f := create(t, filepath.Join(dir, "out"), "x")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Commit into a removed directory: %v", err)
	}
}

func TestKilled(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	os.WriteFile(path, []byte("old"), 0o666)
	cmd := reftest.Command(t, os.Args[0])
	cmd.Env = append(os.Environ(), "ATOMICFILE_HANG="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := io.ReadFull(out, line); err != nil || !bytes.HasPrefix(line, []byte("ready")) {
		t.Fatalf("child said %q, %v", line, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	wantFile(t, path, "old")
	if hidesTemps(dir) {
		wantNames(t, dir, "out")
	}
}

// hidesTemps reports whether the file system of dir has files without a name.
func hidesTemps(dir string) bool {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// TestRace lets Commit and Abort meet: either the new content is there and
// Commit said so, or the old one and Commit failed.
func TestRace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	for i := range 200 {
		os.WriteFile(path, []byte("old"), 0o666)
		f := create(t, path, "new")
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 2 * time.Microsecond)
			f.Abort()
		})
		if err := f.Commit(); err == nil {
			wantFile(t, path, "new")
		} else {
			wantFile(t, path, "old")
		}
		wg.Wait()
		wantNames(t, dir, "out")
	}
}

func TestUnnamed(t *testing.T) {
	dir := t.TempDir()
	f, err := Unnamed(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantNames(t, dir)
	if _, err := f.WriteAt([]byte("x"), 1<<20); err != nil {
		t.Error(err)
	}
	if _, err := Unnamed(filepath.Join(dir, "no")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestLinkable(t *testing.T) {
	dir := t.TempDir()
	f, err := Linkable(dir, "what it is for", 0o640)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	if _, err := f.WriteString("content"); err != nil || f.Name() != "what it is for" {
		t.Errorf("%s: %v", f.Name(), err)
	}
	if ents, err := os.ReadDir(dir); err != nil || len(ents) > 0 {
		t.Errorf("it has a name: %v, %v", ents, err)
	}
	path := filepath.Join(dir, "a")
	if err := Link(f, path); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 || info.Size() != 7 {
		t.Errorf("%v, %v", info, err)
	}
	var pe *fs.PathError
	if err := Link(f, path); !errors.Is(err, fs.ErrExist) || !errors.As(err, &pe) || pe.Path != path {
		t.Errorf("onto a file: %v", err)
	}
	if _, err := Linkable(filepath.Join(dir, "absent"), "x", 0o640); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestNameWithColon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a:b")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Error(err)
	}
	if err := checkBase("a:b", true); err == nil {
		t.Error("a name with a colon was accepted for Windows")
	}
	if err := checkBase("a b", true); err != nil {
		t.Error(err)
	}
}
