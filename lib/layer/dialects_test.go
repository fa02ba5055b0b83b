package layer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// feature is something that not every dialect of tar can say.
type feature int

const (
	devices   feature = 1 << iota
	longNames         // over 256 bytes, and link targets over 100
	bigIDs
	oldTimes // before 1970
	fractions
	attrs
	holes
	basic feature = 0
)

const bytesName = "NetLock_Arany_\xff\xfe_F\xc5\x91tan\xfas\xedtv\xe1ny.crt"

// makeTree makes a directory tree with the features, as root.
func makeTree(t *testing.T, f feature) string {
	t.Helper()
	reftest.NeedRoot(t)
	root := filepath.Join(t.TempDir(), "tree")
	at := func(name string) string { return filepath.Join(root, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) { must(os.WriteFile(at(name), []byte(text), 0o644)) }
	must(os.MkdirAll(at("d/e/f"), 0o755))
	must(os.Mkdir(at("sticky"), 0o700))
	write("empty", "")
	write("d/file", "text\n")
	write("d/"+bytesName, "bytes")
	write("d/e/block", strings.Repeat("b", 512))
	write("d/e/more", strings.Repeat("m", 10241))
	write("suid", "#!")
	must(os.Link(at("d/file"), at("hard")))
	must(os.Link(at("d/file"), at("d/e/hard")))
	must(os.Symlink("/etc/../d", at("sym")))
	if f&devices != 0 {
		must(unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		must(unix.Mknod(at("disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 65535))))
		must(unix.Mkfifo(at("fifo"), 0o600))
	}
	if f&longNames != 0 {
		long := "d/" + strings.Repeat("n", 255)
		must(os.Mkdir(at(long), 0o755))
		write(long+"/"+strings.Repeat("m", 255), "deep")
		must(os.Symlink(strings.Repeat("../", 100)+"x", at("longlink")))
		must(os.Link(at(long+"/"+strings.Repeat("m", 255)), at("z-long-hard")))
	}
	if f&attrs != 0 {
		for _, x := range []struct{ name, attr, value string }{
			{"d/file", "user.text", "one"}, {"d/file", "user.binary", "\x00\x01\xff\n="}, {"d/file", "user.empty", ""},
			{"suid", "security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
			{"d", "user.on-a-directory", "yes"}, {"sym", "trusted.on-a-link", "too"},
		} {
			must(unix.Lsetxattr(at(x.name), x.attr, []byte(x.value), 0))
		}
	}
	if f&holes != 0 {
		must(sparseFile(at("holes"), 1<<20, 0, 4096, 65536, 4096, 1<<20-4096, 4096))
		must(sparseFile(at("holes-inside"), 300000, 8192, 4096, 131072, 8192))
		must(sparseFile(at("all-hole"), 123456))
		var many []int64
		for i := int64(0); i < 60; i++ {
			many = append(many, i*16384, 4096)
		}
		must(sparseFile(at("many-holes"), 60*16384, many...))
	}
	must(os.Lchown(at("d/e/more"), 65535, 262143))
	if f&bigIDs != 0 {
		must(os.Lchown(at("d/file"), 4000000000, 65536))
		must(os.Lchown(at("sym"), 2097152, 4294967294))
	}
	must(unix.Chmod(at("suid"), 0o6755)) // after its owner and capability
	must(unix.Chmod(at("sticky"), 0o1777))
	n := int64(0)
	must(filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		n++
		ts := unix.Timespec{Sec: 1600000000 + n}
		if f&fractions != 0 {
			ts.Nsec = 123456789 + n
		}
		if f&oldTimes != 0 && n%3 == 0 {
			ts.Sec = -n
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}))
	return root
}

// sparseFile makes a file with data at the offsets and of the lengths given.
func sparseFile(name string, size int64, extents ...int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for i := 0; i < len(extents) && err == nil; i += 2 {
		_, err = f.WriteAt(bytes.Repeat([]byte{byte('A' + i%50)}, int(extents[i+1])), extents[i])
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func TestInteropDialects(t *testing.T) {
	const most = devices | longNames | bigIDs | oldTimes
	for _, c := range []struct {
		tool string
		args string
		has  feature
	}{
		{"tar", "--format=v7", basic},
		{"tar", "--format=ustar", devices},
		{"tar", "--format=oldgnu", most},
		{"tar", "--format=gnu", most},
		{"tar", "--format=gnu -S", most | holes},
		{"tar", "--format=oldgnu -S", most | holes},
		{"tar", "--format=posix", most | fractions},
		{"tar", "--format=posix --xattrs --xattrs-include=*", most | fractions | attrs},
		{"tar", "--format=posix -S --sparse-version=0.0", most | fractions | holes},
		{"tar", "--format=posix -S --sparse-version=0.1", most | fractions | holes},
		{"tar", "--format=posix -S --sparse-version=1.0", most | fractions | holes},
		{"tar", "--format=posix -S --sparse-version=1.0 --xattrs --xattrs-include=*", most | fractions | holes | attrs},
		{"tar", "--format=posix --pax-option=globexthdr.name=/g,gname=x", most | fractions},
		{"tar", "--format=gnu -b 1", most},
		{"bsdtar", "--format=v7", basic},
		{"bsdtar", "--format=ustar", devices},
		{"bsdtar", "--format=gnutar", most &^ oldTimes},
		// bsdtar 3.6 writes 2.5 s before 1970 as -3.5.
		{"bsdtar", "--format=pax", most&^oldTimes | fractions | attrs | holes},
	} {
		t.Run(c.tool+" "+c.args, func(t *testing.T) {
			root := makeTree(t, c.has)
			want := reftest.Walk(t, root, reftest.Look{Extents: c.has&holes != 0})
			args := append(strings.Fields(c.args), "--numeric-owner", "-C", root, "-cf", "-", ".")
			cmd := reftest.Command(t, c.tool, args...)
			cmd.Stderr = os.Stderr
			cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
			data, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := layer.Load(context.Background(), input(c.tool, data, layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			src := loaded.Source(tree.Layer)
			defer src.Close()
			got := facts(t, src)
			if c.has&holes == 0 {
				for i := range got {
					got[i].Extents = ""
				}
			}
			reftest.Compare(t, want, got)
			if len(got) < 10 {
				t.Errorf("only %d names", len(got))
			}
		})
	}
}

// TestInteropHugeHole reads a file of 10 GiB that is almost all hole (P32, P36), in
// every format that knows holes.
func TestInteropHugeHole(t *testing.T) {
	dir := t.TempDir()
	size := int64(10 << 30)
	if err := sparseFile(filepath.Join(dir, "huge"), size, 1<<20, 4096, 5<<30, 8192, size-4096, 4096); err != nil {
		t.Fatal(err)
	}
	want := "[{1048576 4096} {5368709120 8192} {10737414144 4096}]"
	for _, args := range []string{"--format=gnu", "--format=posix --sparse-version=0.0", "--format=posix --sparse-version=0.1", "--format=posix --sparse-version=1.0"} {
		tar := reftest.Command(t, "tar", append(strings.Fields(args), "-S", "--hole-detection=seek", "-C", dir, "-cf", "-", "huge")...)
		out, err := tar.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := tar.Start(); err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(io.LimitReader(out, 1<<20))
		out.Close()
		if waitErr := tar.Wait(); err != nil || waitErr != nil {
			t.Fatalf("%s: %v, %v: perhaps the file system under %s has no holes", args, err, waitErr, dir)
		}
		loaded, err := layer.Load(context.Background(), input(args, data, layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		e := loaded.Lookup("huge").Entry
		var b bytes.Buffer
		if _, err := e.Content.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		wantData := strings.Repeat("A", 4096) + strings.Repeat("C", 8192) + strings.Repeat("E", 4096)
		if e.Size != size || fmt.Sprint(e.Extents) != want || b.String() != wantData {
			t.Errorf("%s: size %d, extents %v, %d bytes", args, e.Size, e.Extents, b.Len())
		}
		loaded.Close()
	}
}
