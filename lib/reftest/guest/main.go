// Guest is the first process of the machines that "make boot" starts. It mounts the EROFS
// image on the disk "root", with the disks "layer0", "layer1" and so on as its devices. On
// top it mounts an overlay, whose upper file system is on the disk "upper", and grows that to
// the size of the disk. It lists the overlay, in the form of "tar2tree --no-data --digest",
// to the disk "list". Then it writes to the overlay, mounts everything once more, checks
// that the overlay has kept the changes, and switches the machine off. A line "guest: ..."
// on the console reports each step; the last is "guest: done" or "guest: failed: ...".
//
// With "guest=change" on the kernel's command line it mounts the overlay with redirect_dir and
// metacopy, changes the tree in every way, and lists what has become of it. With "guest=crash"
// it does the same, but waits mounted to be killed; the last line is "guest: synced".
//
//	guest DIR    # prints the list of a directory, anywhere
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		if len(os.Args) != 2 {
			fmt.Fprintln(os.Stderr, "usage: guest DIR")
			os.Exit(2)
		}
		if err := list(os.Stdout, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "guest:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Println("guest: failed:", err)
	} else {
		fmt.Println("guest: done")
	}
	unix.Sync()
	time.Sleep(100 * time.Millisecond) // for the console
	fmt.Println(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

func run() error {
	var release unix.Utsname
	if err := unix.Uname(&release); err != nil {
		return err
	}
	fmt.Println("guest: Linux", unix.ByteSliceToString(release.Release[:]))
	if err := mount("dev", "/dev", "devtmpfs", 0, ""); err != nil {
		return err
	}
	if err := mount("sys", "/sys", "sysfs", 0, ""); err != nil {
		return err
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	disks, err := findDisks()
	if err != nil {
		return err
	}
	task, options := os.Getenv("guest"), "" // the kernel passes on what it does not know
	if task != "" {
		options = ",redirect_dir=on,metacopy=on"
	}
	if err := mountRoot(disks, options); err != nil {
		return err
	}
	if task != "" {
		if err := change("/root"); err != nil {
			return err
		}
	}
	sum, n, err := writeList(disks["list"])
	if err != nil {
		return err
	}
	fmt.Printf("guest: list of %d bytes, sha256 %x\n", n, sum)
	switch task {
	case "change":
		return unmountRoot()
	case "crash":
		unix.Sync()
		fmt.Println("guest: synced")
		for {
			time.Sleep(time.Hour)
		}
	}
	return tryWriting(disks)
}

func unmountRoot() error {
	for _, dir := range []string{"/root", "/rw", "/lower"} {
		if err := unix.Unmount(dir, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
	}
	return nil
}

// loadModules loads all modules in dir, in the order of their names.
func loadModules(dir string) error {
	files, err := filepath.Glob(dir + "/*.ko")
	if err != nil {
		return err
	}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load module %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// findDisks maps the serial numbers of the disks to their devices. It waits for the three
// that every machine has.
func findDisks() (map[string]string, error) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		disks := map[string]string{}
		files, err := filepath.Glob("/sys/block/vd*/serial")
		if err != nil {
			return nil, err
		}
		for _, path := range files {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			disks[strings.TrimSpace(string(b))] = "/dev/" + filepath.Base(filepath.Dir(path))
		}
		if disks["root"] != "" && disks["upper"] != "" && disks["list"] != "" {
			return disks, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("only the disks %v", disks)
		}
	}
}

// mountRoot mounts the overlay at /root, from the image at /lower and the directories upper
// and work at /rw, with more options for it.
func mountRoot(disks map[string]string, more string) error {
	var options []string
	for i := 0; disks[fmt.Sprintf("layer%d", i)] != ""; i++ {
		options = append(options, "device="+disks[fmt.Sprintf("layer%d", i)])
	}
	if err := mount(disks["root"], "/lower", "erofs", unix.MS_RDONLY, strings.Join(options, ",")); err != nil {
		return err
	}
	if err := mount(disks["upper"], "/rw", "ext4", 0, ""); err != nil {
		return err
	}
	if err := grow("/rw", disks["upper"]); err != nil {
		return err
	}
	if err := makeUpper("/rw/upper", "/lower"); err != nil {
		return err
	}
	if err := os.MkdirAll("/rw/work", 0o755); err != nil {
		return err
	}
	return mount("overlay", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work"+more)
}

// grow makes the kernel grow the ext4 file system mounted at dir to the size of its device,
// as resize2fs does.
func grow(dir, device string) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	f.Close()
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	const resize = 0x40086610 // EXT4_IOC_RESIZE_FS: takes a number of blocks in 8 bytes, as this has them
	n := uint64(size) / 4096
	blocks := unix.Winsize{Row: uint16(n), Col: uint16(n >> 16), Xpixel: uint16(n >> 32), Ypixel: uint16(n >> 48)}
	if err := unix.IoctlSetWinsize(int(d.Fd()), resize, &blocks); err != nil {
		return fmt.Errorf("grow the upper file system to %d blocks: %w", n, err)
	}
	return nil
}

// makeUpper makes the directory upper, unless it exists, and gives it the attributes of
// lower: overlayfs shows those of upper for the root.
func makeUpper(upper, lower string) error {
	if err := os.Mkdir(upper, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(lower, &st); err != nil {
		return err
	}
	if err := unix.Chown(upper, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(upper, st.Mode&0o7777); err != nil {
		return err
	}
	names, err := xattrNames(lower)
	if err != nil {
		return err
	}
	value := make([]byte, 64<<10)
	for _, name := range names {
		n, err := unix.Lgetxattr(lower, name, value)
		if err == nil {
			err = unix.Lsetxattr(upper, name, value[:n], 0)
		}
		if err != nil {
			return fmt.Errorf("xattr %s of the root: %w", name, err)
		}
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, upper, []unix.Timespec{st.Mtim, st.Mtim}, 0)
}

func mount(source, target, fstype string, flags uintptr, options string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, fstype, flags, options); err != nil {
		return fmt.Errorf("mount %s as %s with %q: %w", source, fstype, options, err)
	}
	return nil
}

// writeList writes the list of /root to the device.
func writeList(device string) (sum []byte, n int64, err error) {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	h := sha256.New()
	if err := list(io.MultiWriter(f, h), "/root"); err != nil {
		return nil, 0, err
	}
	if n, err = f.Seek(0, io.SeekCurrent); err != nil {
		return nil, 0, err
	}
	return h.Sum(nil), n, f.Sync()
}
