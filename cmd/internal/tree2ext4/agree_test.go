package tree2ext4

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ocipipe/lib/cli"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// letters is content of n bytes that differ from those of another seed.
type letters struct{ seed, n int }

func (c letters) WriteTo(w io.Writer) (int64, error) {
	b := make([]byte, c.n)
	for i := range b {
		b[i] = byte('!' + (i*7+i>>9+c.seed)%90)
	}
	n, err := w.Write(b)
	return int64(n), err
}

// sample is a tree with all that a root file system can hold, in names that
// debugfs takes.
func sample() []tree.Entry {
	time := tree.Time{Sec: 1700000000, Nsec: 123456789}
	entry := func(path string, t tree.Type, fn func(e *tree.Entry)) tree.Entry {
		e := tree.Entry{Path: path, Type: t, Mode: 0o755, Time: time}
		fn(&e)
		return e
	}
	file := func(path string, n int, xattrs ...tree.Xattr) tree.Entry {
		return entry(path, tree.File, func(e *tree.Entry) {
			e.Mode, e.Xattrs = 0o640, xattrs
			if e.Size = int64(n); n > 0 {
				e.Content = letters{len(path), n}
			}
		})
	}
	es := []tree.Entry{
		entry(".", tree.Dir, func(e *tree.Entry) { e.Mode, e.GID = 0o1777, 7 }),
		file("empty", 0), file("one", 1), file("block", 4096), file("large", 5_000_017),
		file("attrs", 10, tree.Xattr{Name: "security.capability", Value: "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}, tree.Xattr{Name: "user.text", Value: "plain"}),
		file("attr block", 10, tree.Xattr{Name: "user.long", Value: strings.Repeat("long ", 500)}),
		entry("sparse", tree.File, func(e *tree.Entry) {
			e.Size, e.Extents, e.Content = 1<<24, []tree.Extent{{Off: 8192, Len: 100}, {Off: 1 << 23, Len: 5000}}, letters{3, 5100}
		}),
		entry("link", tree.Link, func(e *tree.Entry) { e.Mode, e.Link = 0o777, "one" }),
		entry("longlink", tree.Link, func(e *tree.Entry) { e.Mode, e.Link = 0o777, strings.Repeat("y", 200) }),
		entry("null", tree.Char, func(e *tree.Entry) { e.Dev = tree.Device{Major: 1, Minor: 3} }),
		entry("disk", tree.Block, func(e *tree.Entry) { e.Dev = tree.Device{Major: 300, Minor: 70000} }),
		entry("fifo", tree.Fifo, func(e *tree.Entry) { e.UID, e.GID = 1<<32-2, 70000 }),
		entry("socket", tree.Socket, func(e *tree.Entry) { e.Time = tree.Time{Sec: -5, Nsec: 1} }),
		entry("far", tree.Dir, func(e *tree.Entry) { e.Time = tree.Time{Sec: 3<<32 + 5, Nsec: 999999999} }),
		entry("far/hard", tree.File, func(e *tree.Entry) { e.Mode, e.Hardlink = 0o640, "one" }),
		entry("many", tree.Dir, func(e *tree.Entry) {}),
	}
	for i := range 1200 {
		es = append(es, file(fmt.Sprintf("many/name %05d", i), i%50*37))
	}
	return es
}

// makeImage runs the tool on a stream of entries.
func makeImage(t *testing.T, entries []tree.Entry, args ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stream")
	in, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	w := tree.NewWriter(in, tree.WriterOptions{})
	for i := range entries {
		if err := w.Add(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	image := name + ".ext4"
	said, err := os.Create(name + ".said")
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	code := cli.Run(manual, &tool{}, append(args, "-o", image, name), cli.Streams{Stdin: in, Stdout: os.Stdout, Stderr: said})
	if b, _ := os.ReadFile(said.Name()); code != 0 || len(b) > 0 {
		t.Fatalf("exit code %d: %s", code, b)
	}
	return image
}

// readFacts are what our reader finds.
func readFacts(t *testing.T, image string) (list []reftest.Fact) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	img, err := read.Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	src, sums := img.Source(), map[string]string{}
	defer src.Close()
	for {
		e, err := src.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		f := reftest.Fact{
			Path: e.Path, Type: e.Type.String(), Mode: reftest.Octal(e.Mode), UID: e.UID, GID: e.GID, Nlink: uint64(e.Nlink), Link: e.Link,
			Time: fmt.Sprintf("%d.%09d", e.Time.Sec, e.Time.Nsec), SameAs: e.Path, Size: e.Size + int64(len(e.Link)), Xattrs: reftest.Xattrs{},
		}
		if e.Type == tree.Char || e.Type == tree.Block {
			f.Dev = fmt.Sprintf("%d:%d", e.Dev.Major, e.Dev.Minor)
		}
		for _, x := range e.Xattrs {
			f.Xattrs[x.Name] = x.Value
		}
		if e.Hardlink != "" {
			f.SameAs, f.Sum = e.Hardlink, sums[e.Hardlink]
		} else if e.Type == tree.File {
			h := sha256.New()
			if err := tree.WriteExpanded(h, e); err != nil {
				t.Fatal(err)
			}
			f.Sum = fmt.Sprintf("%x", h.Sum(nil))
			sums[e.Path] = f.Sum
		}
		list = append(list, f)
	}
}

// What debugfs prints of an inode.
var (
	statLine = regexp.MustCompile(`Inode: (\d+)   Type: (\S+)\s.*Mode: +(\d+)`)
	userLine = regexp.MustCompile(`User: +(-?\d+)   Group: +(-?\d+)(?:   Project: +\d+)?   Size: (\d+)`)
	linkLine = regexp.MustCompile(`Links: (\d+)`)
	timeLine = regexp.MustCompile(` mtime: 0x([0-9a-f]{8}):([0-9a-f]{8})`)
	deviLine = regexp.MustCompile(`Device major/minor number: (\d+):(\d+)`)
	nameOf   = map[string]string{"regular": "file", "directory": "dir", "symlink": "link", "character": "char", "block": "block", "FIFO": "fifo", "socket": "socket"}
)

// debugfsFacts are what debugfs says of the paths in want, which it does not list.
func debugfsFacts(t *testing.T, image string, want []reftest.Fact) (list []reftest.Fact) {
	t.Helper()
	dump := t.TempDir()
	var script bytes.Buffer
	for _, f := range want {
		fmt.Fprintf(&script, "stat \"/%s\"\nea_list \"/%s\"\n", f.Path, f.Path)
		if f.Type == "file" {
			fmt.Fprintf(&script, "dump \"/%s\" \"%s\"\n", f.Path, filepath.Join(dump, strings.ReplaceAll(f.Path, "/", "%")))
		}
	}
	commands := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(commands, script.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(reftest.Run(t, "debugfs", "-f", commands, image), "debugfs: stat ")
	first := map[string]string{}
	for i, part := range parts[1:] {
		field := func(re *regexp.Regexp) []string {
			m := re.FindStringSubmatch(part)
			if m == nil {
				return make([]string, 10)
			}
			return m
		}
		inode, user, time := field(statLine), field(userLine), field(timeLine)
		number := func(s string, base int) int64 {
			n, _ := strconv.ParseInt(s, base, 64)
			return n
		}
		low, extra := number(time[1], 16), number(time[2], 16)
		f := reftest.Fact{
			Path: want[i].Path, Type: nameOf[inode[2]], Mode: reftest.Octal(number(inode[3], 8)), UID: uint32(number(user[1], 10)), GID: uint32(number(user[2], 10)),
			Nlink: uint64(number(field(linkLine)[1], 10)), SameAs: want[i].Path, Time: fmt.Sprintf("%d.%09d", int64(int32(low))+extra&3<<32, extra>>2),
		}
		switch f.Type {
		case "char", "block":
			d := field(deviLine)
			f.Dev = fmt.Sprintf("%d:%d", number(d[1], 10), number(d[2], 10))
		case "file":
			f.Size = number(user[3], 10)
			b, err := os.ReadFile(filepath.Join(dump, strings.ReplaceAll(f.Path, "/", "%")))
			if err != nil {
				t.Fatal(err)
			}
			f.Sum = fmt.Sprintf("%x", sha256.Sum256(b))
		case "link":
			f.Size = number(user[3], 10)
		}
		if same, ok := first[inode[1]]; ok {
			f.SameAs = same
		} else {
			first[inode[1]] = f.Path
		}
		f.Xattrs = xattrNames(part)
		list = append(list, f)
	}
	return list
}

// xattrNames are the xattrs that debugfs lists, each with the length of its value.
func xattrNames(part string) reftest.Xattrs {
	x := reftest.Xattrs{}
	_, part, _ = strings.Cut(part, "debugfs: ea_list ")
	for _, m := range regexp.MustCompile(`(?m)^  (\S+) \((\d+)\)`).FindAllStringSubmatch(part, -1) {
		x[m[1]] = m[2]
	}
	return x
}

// The tool, our reader, the kernel and debugfs agree about what is in an image.
func TestInteropAgree(t *testing.T) {
	entries := sample()
	tr := tree.New()
	for i := range entries {
		if _, err := tr.Put(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"--check"}, {"--shrink"}, {"--size", "1G", "--features", "^metadata_csum,^64bit", "--journal", "none"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			image := makeImage(t, entries, args...)
			read := readFacts(t, image)
			if len(read) != len(entries) {
				t.Fatalf("%d entries are read, %d were written", len(read), len(entries))
			}
			mounted := reftest.Walk(t, reftest.Mount(t, "ext4", image, "noload"), reftest.Look{DirLinks: true})
			mounted = slices.DeleteFunc(mounted, func(f reftest.Fact) bool { return f.Path == "lost+found" })
			mounted[0].Nlink--
			reftest.Compare(t, mounted, read)

			for i := range mounted {
				f := &mounted[i]
				f.Link = "" // debugfs shows short ones only
				for name, value := range f.Xattrs {
					f.Xattrs[name] = strconv.Itoa(len(value))
				}
			}
			mounted[0].Nlink++
			reftest.Compare(t, mounted, debugfsFacts(t, image, mounted))
		})
	}
}
