package erofstest

import (
	"fmt"
	"strings"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// Corpus has every type and edge that a flat image can hold.
func Corpus() []tree.Entry {
	long := strings.Repeat("n", 255)
	es := []tree.Entry{
		With(Dir("."), func(e *tree.Entry) { e.Mode, e.UID = 0o1777, 5 }),
		File("empty", nil),
		File("one", Pattern(1, 1)),
		File("!bang", Pattern(2, 100)),
		File("-dash", Pattern(3, 1)),
		File(long, Pattern(4, 4095)),
		File("\xff\xfe raw\n", Pattern(5, 3)),
		File("block", Pattern(6, 4096)),
		File("block+1", Pattern(7, 4097)),
		File("block-1", Pattern(8, 4095)),
		File("large", Pattern(9, 3<<20+17)),
		Hardlink("a-link", "large"),
		Dir("sub"),
		Dir("sub/empty"),
		Hardlink("sub/link2", "large"),
		Symlink("sym", "sub/empty"),
		Symlink("longsym", strings.Repeat("x/", 2000)),
		Hardlink("symlink-link", "sym"),
		Device("char", tree.Char, 10, 229),
		Device("blockdev", tree.Block, 300, 70000),
		Hardlink("char2", "char"),
		{Path: "fifo", Type: tree.Fifo, Mode: 0o644, Time: tree.Time{Sec: -2, Nsec: 500000000}},
		{Path: "socket", Type: tree.Socket, Mode: 0o755, Time: tree.Time{Sec: 1 << 40}},
		With(File("owned", Pattern(10, 10)), func(e *tree.Entry) { e.UID, e.GID, e.Mode = 1<<32-2, 70000, 0o4755 }),
		Xattrs(File("x", Pattern(11, 5000)), "user.mime", "text/plain", "security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		Xattrs(Dir("xd"), "user.a", "", "trusted.t", "v", "user."+strings.Repeat("k", 250), strings.Repeat("v", 3000)),
		Xattrs(Symlink("xs", "x"), "trusted.s", "on a link"),
		Sparse("hole", 1<<22, []tree.Extent{}),
		Sparse("sparse", 1<<20+100, []tree.Extent{{Off: 4096, Len: 4096}, {Off: 65536 + 10, Len: 100}, {Off: 1<<20 + 50, Len: 50}}),
		With(File("group", nil), func(e *tree.Entry) { e.GID = 70000 }),
		Xattrs(Sparse("sparse-x", 50000, []tree.Extent{{Off: 20000, Len: 1}}), "user.a", "b"), // the map does not follow them directly
		Sparse("tail-hole", 100000, []tree.Extent{{Off: 0, Len: 5000}}),
		File("deep/a/b/c/implied", Pattern(12, 12)),
	}
	for i := range 300 {
		es = append(es, Xattrs(File(fmt.Sprintf("many/%03d", i), Pattern(byte(i), i*31)), "security.selinux", "system_u:object_r:usr_t:s0"))
	}
	return append(es, Dir("many"), Dir("deep"))
}

// Layer has every mark of a layer. Some of its directories are only implied.
func Layer() []tree.Entry {
	return []tree.Entry{
		Dir("kept"),
		Device("kept/gone", tree.Char, 0, 0),
		File("kept/new", Pattern(1, 5000)),
		Xattrs(Dir("opaque"), tree.Opaque.Name, "y", "user.a", "b"),
		File("opaque/only", Pattern(2, 10)),
		File("implied/a/file", Pattern(3, 3)),
		Device("implied2/gone", tree.Char, 0, 0),
		Xattrs(With(Dir("noattrs"), func(e *tree.Entry) { e.NoChange = true }), tree.Opaque.Name, "y"),
		File("noattrs/x", nil),
		LowerLink("lower", "usr/bin/below"),
		Hardlink("lower2", "lower"),
		Hardlink("kept/link", "kept/new"),
		Xattrs(Dir("origin"), disk.MarkOrigin.Name, ""),
		Xattrs(Dir("origin2"), disk.MarkOrigin.Name, ""),
		Device("origin2/gone", tree.Char, 0, 0),
		Xattrs(Dir("origin3"), disk.MarkOrigin.Name, "not empty"),
	}
}

// WithAll is es after change of each.
func WithAll(es []tree.Entry, change func(*tree.Entry)) []tree.Entry {
	for i := range es {
		change(&es[i])
	}
	return es
}

// OrElse is e as a name that is bound to the first of targets that lies below.
func OrElse(e tree.Entry, targets ...string) tree.Entry {
	e.Lower = &tree.Lower{Targets: targets, Else: true}
	return e
}

// OrElseLayer has names that may be those of files below: of an inode that comes
// before or after them in the image, or has no other name.
func OrElseLayer() []tree.Entry {
	return []tree.Entry{
		Dir("."), File("m", Pattern(1, 5000)), OrElse(Hardlink("a", "m"), "below/x"), OrElse(Hardlink("z", "m"), "y", "m"),
		OrElse(Xattrs(File("n", Pattern(2, 100)), "user.a", "b"), "below/n"), OrElse(Hardlink("o", "n"), "o"), Hardlink("p", "n"),
		OrElse(File("alone", Pattern(3, 4096)), "alone"),
		OrElse(File("d/both", nil), "x"), OrElse(Hardlink("e/both", "d/both"), "y"),
		Symlink("s", "m"), OrElse(With(Symlink("t", "m"), func(e *tree.Entry) { e.Hardlink = "s" }), "t"),
		OrElse(Symlink("r", "elsewhere"), "r"),
		OrElse(Sparse("holes", 1<<20, []tree.Extent{{Off: 8192, Len: 4096}}), "h"),
		OrElse(Device("tty", tree.Char, 5, 0), "tty"),
		OrElse(File("gone", Pattern(4, 10)), "gone"), Device("gone", tree.Char, 0, 0),
		LowerLink("low", "x"), LowerLink("low2", "x"),
	}
}

// Stack is layers with everything that merging does, from bottom to top.
func Stack() [][]tree.Entry {
	lower := LowerLink
	gone := func(path string) tree.Entry { return Device(path, tree.Char, 0, 0) }
	return [][]tree.Entry{
		Corpus(),
		{
			gone("one"),
			gone("many/007"),
			lower("upper-link", "large"),
			lower("upper-sym", "sym"),
			File("deep/a/b/new", Pattern(40, 9000)), // deep/a is only implied
			File("sym/through", Pattern(41, 4096)),  // lands in sub/empty
			Xattrs(Dir("xd"), tree.Opaque.Name, "y", "user.new", "1"),
			File("xd/only", Pattern(42, 100)),
			Sparse("sparse2", 1<<20, []tree.Extent{{Off: 8192, Len: 4096}, {Off: 1<<20 - 4096, Len: 4096}}),
			Sparse("hole2", 12345678, []tree.Extent{}),
			File("block", nil),
		},
		{
			With(Dir("."), func(e *tree.Entry) { e.Mode, e.GID = 0o700, 9 }),
			gone("upper-sym"),
			File("upper-link", Pattern(43, 70000)),
			File("made/here", Pattern(44, 8192)), // made is only implied, and nothing is below
			lower("made/link", "deep/a/b/new"),
			Hardlink("made/twice", "made/here"),
			Dir("sub"),
			Symlink("many/008", "009"),
		},
	}
}

// Merged is the flat tree that layers come to.
func Merged(t testing.TB, layers ...[]tree.Entry) *tree.Tree {
	t.Helper()
	merged := tree.NewFlat()
	for _, es := range layers {
		l := tree.New()
		for i := range es {
			if _, err := l.Put(&es[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := merged.Apply(l); err != nil {
			t.Fatal(err)
		}
	}
	return merged
}
