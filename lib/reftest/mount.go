package reftest

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Loop attaches image, read-only, to a loop device until t ends, and returns the
// path of the device.
func Loop(t testing.TB, image string) string {
	t.Helper()
	NeedRoot(t)
	file, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		dev, err := attach(file)
		if err == nil {
			// The device detaches itself when the last process or mount closes it,
			// even if this process is killed.
			t.Cleanup(func() { dev.Close() })
			return dev.Name()
		}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			Skip(t, "no loop device: %v", err)
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			t.Fatalf("attach %s to a loop device: %v", image, err)
		}
	}
}

func attach(file *os.File) (*os.File, error) {
	ctl, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer ctl.Close()
	n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, err
	}
	dev, err := os.OpenFile("/dev/loop"+strconv.Itoa(n), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(file.Fd())}
	config.Info.Flags = unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR
	if err := unix.IoctlLoopConfigure(int(dev.Fd()), &config); err != nil {
		dev.Close()
		return nil, err // EBUSY: another process was faster
	}
	return dev, nil
}

// Mount mounts the image, a file or a device, read-only until t ends, and returns the
// directory.
func Mount(t testing.TB, fstype, image, options string) string {
	t.Helper()
	dir, err := TryMount(t, fstype, image, options)
	if err != nil {
		t.Fatalf("mount %s as %s with %q: %v", image, fstype, options, err)
	}
	return dir
}

// TryMount is Mount for images that the kernel may refuse.
func TryMount(t testing.TB, fstype, image, options string) (string, error) {
	t.Helper()
	NeedRoot(t)
	fi, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().IsRegular() {
		image = Loop(t, image)
	}
	return mount(t, fstype, image, options)
}

// Overlay mounts an overlay of directories, the lowest first, until t ends, and returns the
// directory.
func Overlay(t testing.TB, lowers ...string) string {
	t.Helper()
	return OverlayWith(t, "", lowers...)
}

// OverlayWith is Overlay with more options of mount(8).
func OverlayWith(t testing.TB, options string, lowers ...string) string {
	t.Helper()
	NeedRoot(t)
	if len(lowers) == 1 {
		lowers = []string{t.TempDir(), lowers[0]} // overlayfs wants two
	}
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`)
	option := ""
	for _, dir := range lowers {
		option = ":" + escape.Replace(dir) + option // overlayfs wants the highest first
	}
	if options != "" {
		options += ","
	}
	dir, err := mount(t, "overlay", "overlay", options+"lowerdir="+option[1:])
	if err != nil {
		t.Fatalf("mount overlay of %q: %v", lowers, err)
	}
	return dir
}

func mount(t testing.TB, fstype, source, options string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount(source, dir, fstype, unix.MS_RDONLY, options)
	switch {
	case errors.Is(err, unix.EPERM):
		Skip(t, "mounting is not allowed here")
	case errors.Is(err, unix.ENODEV):
		Skip(t, "this kernel has no %s", fstype)
	case err != nil:
		return "", err
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir, nil
}

func unmount(t testing.TB, dir string) {
	err := unix.Unmount(dir, 0)
	for i := 0; i < 20 && errors.Is(err, unix.EBUSY); i++ {
		time.Sleep(50 * time.Millisecond)
		err = unix.Unmount(dir, 0)
	}
	if err != nil {
		t.Errorf("unmount %s: %v", dir, err)
		unix.Unmount(dir, unix.MNT_DETACH)
	}
}
