package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
)

// Another process may make the cache and store something after this one has seen that there is
// none.
func TestCreatedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	makeFile(t, filepath.Join(dir, "layers"), "")
	if err := s.create(ctx); err != nil {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string // "" for a directory
		err   string            // "" if it is opened
	}{
		{"empty", nil, ""},
		{"its own file system", map[string]string{"lost+found": ""}, ""},
		{"a creation that was cut off", map[string]string{"locks": "", "locks/index.json": "\n", "tmp": "", "tmp/index.json": "{", "blobs": ""}, ""},
		{"a layout of others", map[string]string{"oci-layout": `{"imageLayoutVersion": "1.0.0", "x": 1}`, "more": "x"}, ""},
		{"something else", map[string]string{"photo.jpg": "x"}, `not a cache: it has no oci-layout, but "photo.jpg"`},
		{"another version", map[string]string{"oci-layout": `{"imageLayoutVersion": "2.0.0"}`}, `not a cache: oci-layout: version "2.0.0", not "1.0.0"`},
		{"no version", map[string]string{"oci-layout": `{}`}, `not a cache: oci-layout: version "", not "1.0.0"`},
		{"no JSON", map[string]string{"oci-layout": `hello`}, `not a cache: oci-layout: byte 0: not JSON: 'h'`},
		{"endless", map[string]string{"oci-layout": strings.Repeat(" ", 5000)}, `oci-layout: longer than 4096 bytes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range slices.Sorted(maps.Keys(c.files)) {
				makeFile(t, filepath.Join(dir, name), c.files[name])
			}
			s, err := Open(ctx, dir, Options{})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), "cache "+dir+": ") || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				if _, err := os.Stat(filepath.Join(dir, "blobs")); err == nil {
					t.Error("something was made in it")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			data := content(1, 1000)
			put(t, s, data)
			wantBlob(t, open(t, dir, Options{Verify: true}), data)
			wantClean(t, dir)
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o666)
	if _, err := Open(ctx, file, Options{}); !errors.Is(err, ErrNotCache) {
		t.Errorf("a file: %v", err)
	}
	if _, err := Open(ctx, file+"/below", Options{}); err == nil {
		t.Error("below a file: no error")
	}
}

func makeFile(t *testing.T, path, content string) {
	t.Helper()
	var err error
	if content == "" {
		err = os.Mkdir(path, 0o777)
	} else {
		err = os.WriteFile(path, []byte(content), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestOpenAtOnce has many make one cache.
func TestOpenAtOnce(t *testing.T) {
	for range 20 {
		dir := filepath.Join(t.TempDir(), "new")
		errs := make(chan error)
		for range 8 {
			go func() {
				s, err := Open(ctx, dir, Options{})
				if err == nil {
					err = s.Put(ctx, digest.FromString("x"), []byte("x"))
				}
				errs <- err
			}()
		}
		for range 8 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
}

func TestBlobNames(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	hex := strings.Repeat("a", 64)
	for _, d := range []digest.Digest{
		"", "sha256:", "sha256:" + digest.Digest(hex[1:]), "sha256:../../../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e",
		digest.Digest("sha384:" + hex + hex[:32]), digest.Digest("SHA256:" + hex), digest.Digest("sha256:" + strings.ToUpper(hex)),
	} {
		if _, err := s.Blob(t.Context(), d); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Blob %q: %v", d, err)
		}
		if _, err := s.Begin(ctx, d, 1); err == nil || errors.Is(err, ErrStore) {
			t.Errorf("Begin %q: %v", d, err)
		}
		if err := s.PassOver(d); err == nil {
			t.Errorf("PassOver %q: no error", d)
		}
	}
	wantMiss(t, s, digest.Digest("sha256:"+hex))
	data := content(1, 100)
	d := digest.SHA512.FromBytes(data)
	if err := s.Put(ctx, d, data); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Blob(t.Context(), d); err != nil {
		t.Error(err)
	} else {
		b.Close()
	}
}

// TestOddBlobs puts directories, pipes and the like where a blob should be.
func TestOddBlobs(t *testing.T) {
	data := content(1, 100)
	for _, c := range []struct {
		name  string
		make  func(path string) error
		found bool
	}{
		{"a named pipe", func(path string) error { return unix.Mkfifo(path, 0o666) }, false},
		{"an empty directory", func(path string) error { return os.Mkdir(path, 0o777) }, false},
		{"a directory", func(path string) error { return os.MkdirAll(path+"/x", 0o777) }, false},
		{"a link to itself", func(path string) error { return os.Symlink(filepath.Base(path), path) }, false},
		{"a link to nothing", func(path string) error { return os.Symlink("nothing", path) }, false},
		{"a device", func(path string) error { return os.Symlink("/dev/zero", path) }, false},
		{"a link to a file", func(path string) error {
			os.WriteFile(path+"x", data, 0o666)
			return os.Symlink(path+"x", path)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			warned := false
			s := open(t, t.TempDir(), Options{Warn: func(msg string) { warned = warned || strings.Contains(msg, digest.FromBytes(data).Encoded()) }})
			path := blobFile(s.Dir(), data)
			os.MkdirAll(filepath.Dir(path), 0o777)
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			if c.found {
				wantBlob(t, s, data)
				return
			}
			wantMiss(t, s, digest.FromBytes(data))
			if !warned && c.name != "a link to nothing" {
				t.Error("no warning")
			}
			err := s.Put(ctx, digest.FromBytes(data), data)
			if c.name == "a directory" {
				if !errors.Is(err, ErrStore) {
					t.Errorf("put over it: %v", err)
				}
			} else if err != nil {
				t.Error(err)
			} else {
				wantBlob(t, s, data)
			}
			wantClean(t, s.Dir())
		})
	}
}

// corrupt changes a byte of the blob data, but neither its size nor its time.
func corrupt(t testing.TB, dir string, data []byte) {
	t.Helper()
	path := blobFile(dir, data)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(data)
	bad[len(bad)/2] ^= 1
	os.Chmod(path, 0o666)
	if err := os.WriteFile(path, bad, 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(path, time.Time{}, info.ModTime())
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	good, bad := content(1, 300_000), content(2, 300_000)
	plain := open(t, dir, Options{})
	put(t, plain, good)
	put(t, plain, bad)
	corrupt(t, dir, bad)

	var warned []string
	s := open(t, dir, Options{Verify: true, Warn: func(m string) { warned = append(warned, m) }})
	wantBlob(t, s, good)
	for range 3 {
		wantMiss(t, s, digest.FromBytes(bad))
	}
	if len(warned) != 1 || !strings.Contains(warned[0], blobFile(dir, bad)+": corrupt, its digest is sha256:") {
		t.Errorf("warnings %q", warned)
	}
	put(t, s, bad)
	wantBlob(t, s, bad)
	wantBlob(t, open(t, dir, Options{Verify: true}), bad)
	wantClean(t, dir)
	if len(warned) != 1 {
		t.Errorf("warnings %q", warned[1:])
	}
}

// TestVerifyAtOnce has many find a corrupt blob: one of them fetches it anew.
func TestVerifyAtOnce(t *testing.T) {
	dir := t.TempDir()
	data := content(1, 300_000)
	d := put(t, open(t, dir, Options{}), data)
	corrupt(t, dir, data)
	var wg, ready sync.WaitGroup
	var fetched atomic.Int32
	ready.Add(8)
	for range 8 {
		wg.Go(func() {
			s := open(t, dir, Options{Verify: true})
			wantMiss(t, s, d)
			ready.Done()
			ready.Wait()
			err := s.Fill(ctx, d, func() ([]byte, error) {
				fetched.Add(1)
				return data, nil
			})
			if err != nil && !errors.Is(err, ErrExists) {
				t.Error(err)
			}
			wantBlob(t, s, data)
		})
	}
	wg.Wait()
	if n := fetched.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	wantClean(t, dir)
}

func TestPassOver(t *testing.T) {
	dir := t.TempDir()
	data := content(1, 1000)
	s := open(t, dir, Options{})
	d := put(t, s, data)
	corrupt(t, dir, data)
	if err := s.PassOver(d); err != nil {
		t.Fatal(err)
	}
	wantMiss(t, s, d)
	put(t, s, data)
	wantBlob(t, s, data)
}

func TestFresh(t *testing.T) {
	dir := t.TempDir()
	data, other := content(1, 1000), content(2, 1000)
	old := open(t, dir, Options{})
	d := put(t, old, data)
	p := begin(t, old, other)
	write(t, p, other, Range{0, 500})
	p.Close()

	s := open(t, dir, Options{Fresh: true})
	wantMiss(t, s, d)
	put(t, s, data)
	wantBlob(t, s, data)
	if _, err := s.Begin(ctx, d, 1000); !errors.Is(err, ErrExists) {
		t.Errorf("the second time: %v", err)
	}
	if p := begin(t, s, other); len(has(p)) > 0 {
		t.Errorf("Fresh has %v of a former process", has(p))
	}
}

// TestPermissions has two users share a directory of their group, whose umasks
// say otherwise.
func TestPermissions(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	for _, c := range []struct{ dir, file, sub fs.FileMode }{
		{0o700, 0o400, 0o700},
		{0o755, 0o444, 0o755},
		{0o775 | fs.ModeSetgid, 0o444, 0o775 | fs.ModeSetgid},
		{0o777, 0o444, 0o777},
	} {
		t.Run(fmt.Sprint(c.dir), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			os.Mkdir(dir, 0o700)
			if err := os.Chmod(dir, c.dir); err != nil {
				t.Fatal(err)
			}
			data, rest := content(1, 1000), content(2, 1000)
			s := open(t, dir, Options{})
			put(t, s, data)
			p := begin(t, s, rest)
			write(t, p, rest, Range{0, 1})
			const mask = fs.ModePerm | fs.ModeSetgid
			for path, want := range map[string]fs.FileMode{
				blobFile(dir, data): c.file, dir + "/index.json": c.dir & 0o666, dir + "/oci-layout": c.dir & 0o666,
				dir + "/blobs": c.sub, dir + "/blobs/sha256": c.sub, dir + "/tmp": c.sub, dir + "/locks": c.sub,
				dir + "/" + p.partFile(): c.dir & 0o666, dir + "/" + p.journalFile(): c.dir & 0o666,
				dir + "/locks/index.json": c.dir & 0o666,
			} {
				if info, err := os.Stat(path); err != nil {
					t.Error(err)
				} else if info.Mode()&mask != want {
					t.Errorf("%s is %v, want %v", path, info.Mode()&mask, want)
				}
			}
		})
	}
}

// tmpfs returns a directory of a file system of size bytes.
func tmpfs(t *testing.T, size int) string {
	reftest.NeedRoot(t)
	dir := t.TempDir()
	switch err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size)); {
	case errors.Is(err, unix.EPERM):
		reftest.Skip(t, "mounting is not allowed here")
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
			unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

// TestReadOnly opens a cache on a file system that is mounted read-only.
func TestReadOnly(t *testing.T) {
	dir := tmpfs(t, 1<<20)
	good, bad, rest := content(1, 1000), content(2, 1000), content(3, 1000)
	s := open(t, dir, Options{})
	put(t, s, good)
	put(t, s, bad)
	corrupt(t, dir, bad)
	ref := Ref{Name: "a:b", MediaType: manifestType, Digest: digest.FromBytes(good), Size: 1000}
	if err := s.SetRef(ctx, ref, nil); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {Verify: true}} {
		s := open(t, dir, o)
		wantBlob(t, s, good)
		if o.Verify {
			wantMiss(t, s, digest.FromBytes(bad))
		}
		wantUnwritable(t, s, rest, ref, unix.EROFS)
		if err := s.Collect(ctx, time.Time{}); err != nil {
			t.Errorf("Collect: %v", err)
		}
	}
	if _, err := Open(ctx, dir+"/new", Options{}); !errors.Is(err, ErrStore) {
		t.Errorf("making one: %v", err)
	}
}

// wantUnwritable checks that s, where ref is listed, says that it cannot write
// because of why.
func wantUnwritable(t *testing.T, s *Store, rest []byte, ref Ref, why error) {
	t.Helper()
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrStore) || !errors.Is(err, why) || !strings.Contains(err.Error(), s.Dir()) {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("Put", s.Put(ctx, digest.FromBytes(rest), rest))
	_, err := s.Begin(ctx, digest.FromBytes(rest), int64(len(rest)))
	check("Begin", err)
	if err := s.SetRef(ctx, ref, nil); err != nil {
		t.Errorf("SetRef of what is set: %v", err)
	}
	if refs, err := s.Refs(ref.Name); err != nil || len(refs) != 1 {
		t.Errorf("Refs: %v, %v", refs, err)
	}
	ref.Name = "c:d"
	check("SetRef", s.SetRef(ctx, ref, nil))
}

// TestDiskFull fills the disk by other means while a part is written.
func TestDiskFull(t *testing.T) {
	dir := tmpfs(t, 2<<20)
	s := open(t, dir, Options{})
	data := content(1, 1<<20)
	small := put(t, s, content(2, 1000))
	if _, err := s.Begin(ctx, small, 1000); !errors.Is(err, ErrExists) {
		t.Error(err)
	}

	huge := digest.FromString("never there")
	if _, err := s.Begin(ctx, huge, 1<<50); !errors.Is(err, ErrStore) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a blob that has no room: %v", err)
	}
	p := begin(t, s, data)
	r, err := p.NewReader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	write(t, p, data, Range{0, 500_000})
	fill(t, dir)
	n := int64(500_000)
	for err == nil && n < int64(len(data)) {
		end := min(n+65536, int64(len(data)))
		if _, err = p.WriteAt(data[n:end], n); err == nil {
			n = end
		}
	}
	if !errors.Is(err, ErrStore) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("write: %v", err)
	}
	p.CloseWithError(err)
	got, rerr := io.ReadAll(r)
	if !errors.Is(rerr, unix.ENOSPC) || !bytes.Equal(got, data[:n]) {
		t.Errorf("read %d bytes of %d, then %v", len(got), n, rerr)
	}
	wantMiss(t, s, digest.FromBytes(data))
	if err := s.Put(ctx, digest.FromString("x"), []byte("x")); err != nil && !errors.Is(err, ErrStore) {
		t.Errorf("put: %v", err)
	}
	wantBlob(t, open(t, dir, Options{}), content(2, 1000))

	os.Remove(dir + "/filler")
	p = begin(t, s, data)
	if got := has(p); !slices.Equal(got, []Range{{0, n}}) {
		t.Errorf("kept %v of %d", got, n)
	}
	write(t, p, data, Range{n, int64(len(data))})
	if err := p.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	wantBlob(t, s, data)
}

func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(dir + "/filler")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// TestCollect has everything be older than the time given, or nothing.
func TestCollect(t *testing.T) {
	for _, old := range []bool{false, true} {
		dir := t.TempDir()
		s := open(t, dir, Options{})
		done, left, held := content(1, 1000), content(2, 1000), content(3, 1000)
		put(t, s, done)
		os.WriteFile(filepath.Join(dir, "tmp", partName(digest.FromBytes(done))+".ranges"), []byte("0 1 00000000\n"), 0o666)
		os.WriteFile(filepath.Join(dir, "tmp", "note"), []byte("somebody's"), 0o666)
		p := begin(t, s, left)
		write(t, p, left, Range{0, 500})
		p.Close()
		os.WriteFile(filepath.Join(dir, "locks", partName(digest.FromBytes(left))), nil, 0o666)
		h := begin(t, s, held)
		write(t, h, held, Range{0, 500})

		before := time.Time{}
		if old {
			before = time.Now().Add(time.Hour)
		}
		if err := s.Collect(ctx, before); err != nil {
			t.Fatal(err)
		}
		names := []string{"note", partName(digest.FromBytes(held)) + ".part", partName(digest.FromBytes(held)) + ".ranges"}
		if !old {
			names = append(names, partName(digest.FromBytes(left))+".part", partName(digest.FromBytes(left))+".ranges")
		}
		slices.Sort(names)
		var got []string
		ents, _ := os.ReadDir(dir + "/tmp")
		for _, e := range ents {
			got = append(got, e.Name())
		}
		if !slices.Equal(got, names) {
			t.Errorf("old %v: left %q, want %q", old, got, names)
		}
		locks, _ := filepath.Glob(dir + "/locks/sha256-*")
		if want := []string{s.path("locks/" + partName(digest.FromBytes(held)))}; !slices.Equal(locks, want) {
			t.Errorf("lock files %q, want %q", locks, want)
		}
	}
}

// TestBlobStopped ends the check of a blob with its context. The blob is not taken for
// corrupt, and is found the next time.
func TestBlobStopped(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("data"), 1<<20)
	d := digest.FromBytes(data)
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), d, data); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), dir, Options{Verify: true, Warn: func(msg string) { t.Errorf("warning %q", msg) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	cause := errors.New("the cause")
	stop(cause)
	if _, err := s.Blob(ctx, d); err != cause {
		t.Errorf("error %v, expected %v", err, cause)
	}
	if _, err := s.lockMissing(ctx, d); err != cause {
		t.Errorf("lock: error %v, expected %v", err, cause)
	}
	b, err := s.Blob(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}

// TestOpenNames has the messages about a cache that is not there: each names the directory once.
func TestOpenNames(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir      string
		existing bool
		want     string
		is       error
	}{
		{filepath.Join(dir, "none"), true, "cache " + dir + "/none: no such directory", fs.ErrNotExist},
		{dir, true, "cache " + dir + ": not a cache: it has no oci-layout", fs.ErrNotExist},
		{dir, false, "cache " + dir + `: not a cache: it has no oci-layout, but "file"`, ErrNotCache},
		{file, false, "cache " + file + ": not a cache: not a directory", ErrNotCache},
		{filepath.Join(file, "x"), true, "cache " + file + "/x: not a directory", unix.ENOTDIR},
		{"/proc/none", false, "cannot write to the cache: mkdir /proc/none: no such file or directory", ErrStore},
	} {
		_, err := Open(ctx, c.dir, Options{Existing: c.existing})
		if err == nil || err.Error() != c.want || !errors.Is(err, c.is) {
			t.Errorf("%s, existing %t: %v, want %s", c.dir, c.existing, err, c.want)
		}
	}
}
