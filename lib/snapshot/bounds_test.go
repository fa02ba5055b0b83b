package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/form07"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// descriptor06 is one of a disk with the content "hello", without integrity.
func descriptor06() *form06.Descriptor {
	return &form06.Descriptor{
		Scope: form06.ScopeDisk, CreatedAt: "2026-05-01T12:00:00Z", Image: image,
		File: &form06.File{Format: form06.Raw, FSType: "ext4", Name: "upper.ext4", Size: 5},
	}
}

// archive06 is an archive of the snapshot, without an inventory.
func archive06(t testing.TB, d *form06.Descriptor, content string) []byte {
	t.Helper()
	desc := &entry{Member: archive.Member{Name: form06.DescriptorPath(d.ID()), Size: int64(len(d.Encode()))}, data: d.Encode()}
	if d.File == nil {
		return archiveOf(t, desc)
	}
	return archiveOf(t, desc, &entry{Member: archive.Member{Name: form06.PayloadPath(d.ID(), d.File.Name), Size: int64(len(content))}, data: []byte(content)})
}

// directory06 makes the snapshot a directory.
func directory06(t testing.TB, d *form06.Descriptor, content string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"snapshot.json": string(d.Encode())}
	if d.File != nil {
		files[d.File.Name] = content
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// verifyDirectory returns the warnings and the error of Verify.
func verifyDirectory(t testing.TB, dir string) (warned string, err error) {
	t.Helper()
	d, err := OpenDirectory(dir)
	if err != nil {
		return "", err
	}
	defer d.Close()
	err = d.Verify(t.Context(), func(msg string) { warned += msg })
	return warned, err
}

// Descriptors are kept in memory, where they are much larger than in an archive.
func TestManyValues(t *testing.T) {
	var all []*entry
	for i := range 3 {
		list := strictjson.List(strictjson.Int(int64(i)))
		for range 900000 {
			list.Items = append(list.Items, strictjson.Int(0))
		}
		d := descriptor06()
		d.Extensions = map[string]*strictjson.Value{"x": list}
		data := d.Encode()
		all = append(all, &entry{Member: archive.Member{Name: form06.DescriptorPath(d.ID()), Size: int64(len(data))}, data: data})
	}
	_, err := VerifyArchive(t.Context(), bytes.NewReader(archiveOf(t, all...)), ReadOptions{})
	if !errors.Is(err, fault.ErrUnsupported) || !strings.Contains(err.Error(), "values together") {
		t.Error(err)
	}
}

// A snapshot without integrity does not hide another content.
func TestNoIntegrity(t *testing.T) {
	d := descriptor06()
	dir := t.TempDir()
	for range 2 {
		if _, err := unpackIn(dir, archive06(t, d, "hello"), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := unpackIn(dir, archive06(t, d, "HELLO"), ""); !errors.Is(err, ErrExists) {
		t.Errorf("other content: %v", err)
	}
	l := form07.Layer{ID: id32("layer_", "1"), Format: form07.Raw, Size: 5}
	h := &handmade{descriptors: []*form07.Descriptor{descriptor07(id32("snap_", "1"), "", l)}, files: map[string]string{l.Path(): "hello"}}
	for range 2 {
		if _, err := unpackIn(dir, h.write(t), "g"); err != nil {
			t.Fatal(err)
		}
	}
	h.files[l.Path()] = "HELLO"
	if _, err := unpackIn(dir, h.write(t), "g"); !errors.Is(err, ErrExists) {
		t.Errorf("other content in a group: %v", err)
	}
	var q *Qcow2Error
	if _, err := verifyDirectory(t, directory06(t, d, "QFI\xfb!")); !errors.As(err, &q) {
		t.Errorf("qcow2: %v", err)
	}
}

// What a snapshot requires is not known here, and the state of a checkpoint is elsewhere.
func TestNotChecked(t *testing.T) {
	d := descriptor06()
	d.Extensions, d.Requires = map[string]*strictjson.Value{"x": strictjson.Map()}, []string{"x"}
	refuse(t, "requires", archive06(t, d, "hello"), `requires "x"`)
	if _, err := InspectArchive(t.Context(), bytes.NewReader(archive06(t, d, "hello")), ReadOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := verifyDirectory(t, directory06(t, d, "hello")); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("directory: %v", err)
	}

	d = descriptor06()
	d.File, d.Checkpoint = nil, &form06.Checkpoint{ID: "c", Manifest: manifest}
	var warned string
	_, err := VerifyArchive(t.Context(), bytes.NewReader(archive06(t, d, "")), ReadOptions{Warn: func(msg string) { warned += msg }})
	if err != nil || !strings.Contains(warned, "checkpoint") {
		t.Errorf("archive: %q, %v", warned, err)
	}
	if warned, err := verifyDirectory(t, directory06(t, d, "")); err != nil || !strings.Contains(warned, "checkpoint") {
		t.Errorf("directory: %q, %v", warned, err)
	}
}

// The head of a group is the snapshot that its directory is called after.
func TestHeadOfGroup(t *testing.T) {
	data, id := archive07(t, options07(sparseDisk(t, "x")), ArchiveOptions{})
	dir := t.TempDir()
	if _, err := unpackIn(dir, data, "g"); err != nil {
		t.Fatal(err)
	}
	other := id32("snap_", "0")
	if err := errors.Join(os.Rename(dir+"/g/"+id, dir+"/g/"+other), os.WriteFile(dir+"/g/group.json", form07.EncodeGroup(other), 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := verifyDirectory(t, dir+"/g"); !errors.Is(err, fault.ErrCorrupt) {
		t.Error(err)
	}
}

// Whoever waits for a group that another process has locked can be stopped.
func TestLockedGroup(t *testing.T) {
	data, _ := archive07(t, options07(sparseDisk(t, "x")), ArchiveOptions{})
	more, _ := archive07(t, options07(sparseDisk(t, "y")), ArchiveOptions{})
	dir := t.TempDir()
	if _, err := unpackIn(dir, data, "g"); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(dir + "/g/.group.lock")
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := Unpack(ctx, bytes.NewReader(more), dir, UnpackOptions{Name: "g"})
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still waits")
		lock.Close()
		<-done
	}
}

// A disk that changes after it was verified is not packed.
func TestPackChanged(t *testing.T) {
	for name, change := range map[string]func(*os.File) error{
		"written to": func(f *os.File) error {
			_, err := f.WriteAt([]byte("x"), 100)
			return err
		},
		"cut short": func(f *os.File) error { return f.Truncate(5000) },
	} {
		t.Run(name, func(t *testing.T) { testPackChanged(t, change) })
	}
}

func testPackChanged(t *testing.T, changeFile func(*os.File) error) {
	dir := filepath.Join(t.TempDir(), "s")
	if _, err := begin(t, makeDisk(t, 16<<20, pattern(3<<20), 0, 6<<20, 12<<20)).WriteDirectory(t.Context(), dir, false); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	change := func() {
		time.Sleep(20 * time.Millisecond) // times of files are not finer
		f, err := os.OpenFile(dir+"/upper.ext4", os.O_RDWR, 0)
		if err == nil {
			err = changeFile(f)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Error(err)
		}
	}
	_, err = PackDirectory(t.Context(), &callAtWrite{change, 1 << 20}, d, plain) // within the disk
	if want := dir + "/upper.ext4: has changed while it was read"; !errors.Is(err, ErrChanged) || err.Error() != want {
		t.Errorf("%v, expected %s", err, want)
	}
}

// callAtWrite calls a function at the first write of least bytes or more.
type callAtWrite struct {
	call  func()
	least int
}

func (c *callAtWrite) Write(p []byte) (int, error) {
	if c.call != nil && len(p) >= c.least {
		c.call()
		c.call = nil
	}
	return io.Discard.Write(p)
}

// What would make an archive that nobody reads is refused before it is written.
func TestRefusedNames(t *testing.T) {
	disk := makeDisk(t, 8192, nil)
	for _, name := range []string{"a/b", `a\b`, strings.Repeat("x", 256), "\xff"} {
		var b bytes.Buffer
		if _, err := begin(t, disk).WriteArchive(t.Context(), &b, ArchiveOptions{Name: name}); !errors.Is(err, fault.ErrUnsupported) || b.Len() > 0 {
			t.Errorf("%q: %v, %d bytes", name, err, b.Len())
		}
	}
	for _, form := range []string{form06.Form, form07.Form} {
		_, err := Create(CreateOptions{Upper: disk, Form: form, FSType: "none", Image: image, Extensions: map[string]*strictjson.Value{NotePin: strictjson.Map()}})
		if !errors.Is(err, fault.ErrUnsupported) {
			t.Errorf("form %s: %v", form, err)
		}
	}
}

// What is said of a snapshot controls no terminal.
func TestDescribe(t *testing.T) {
	out := Describe(&form.Info{Labels: map[string]string{"a": "\u009b31m\u202e"}, Disks: []form.Disk{{Integrity: &integrity.Sum{}}}}, nil)
	if !bytes.Contains(out, []byte(`\u009b31m\u202e`)) {
		t.Errorf("%s", out)
	}
}

// Parents are verified before anything is written.
func TestDamagedParent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	if _, err := begin(t, makeDisk(t, 1<<20, pattern(5000), 0)).WriteDirectory(t.Context(), dir, false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/upper.ext4", make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	parent, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	var b bytes.Buffer
	_, err = begin(t, makeDisk(t, 8192, nil)).WriteArchive(t.Context(), &b, ArchiveOptions{Parents: []*Directory{parent}})
	if !errors.Is(err, fault.ErrCorrupt) || b.Len() > 0 {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
}
