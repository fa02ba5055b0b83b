package snapshot

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/strictjson"
)

// descriptor06 is one of a disk with the content "hello", without integrity.
func descriptor06() *form06.Descriptor {
	return &form06.Descriptor{
		Scope: form06.ScopeDisk, CreatedAt: "2026-05-01T12:00:00Z", Image: image,
		File: &form06.File{Format: form06.Raw, FSType: "ext4", Name: "upper.ext4", Size: 5},
	}
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
