package layer_test

import (
	"fmt"
	"strings"
	"testing"
)

// cases are stacks of layers with what they come to, worked out by hand. Paths are
// in canonical order: a slash after a directory; #N the entry that made it, + an
// implied directory; = another name of the same inode; the root only where an entry
// made it. "error" is a stack that is refused. The numbers P1 to P36 are those of
// problems that users of other tools ran into.
var cases = []struct{ name, stack, want string }{
	{"nothing", "", ""},
	{"an empty layer in between", "file a || file b", "a#1 b#2"},

	{"P1 target deleted above", "file a; hard b -> a | .wh.a", "b#1"},
	{"P1 target replaced above", "file a; hard b -> a | file a", "a#3 b#1"},
	{"P1 link replaced above", "file a; hard b -> a | file b", "a#1 b#3"},
	{"P1 target replaced later in the layer", "file a; hard b -> a; file a", "a#3 b#1"},
	{"P1 directory of the target deleted", "file d/a; hard b -> d/a | .wh.d", "b#1"},
	{"P2 many names", "file a; hard b -> a; hard c -> b; hard d/e -> c", "a#1 b=a c=a d/+ d/e=a"},
	{"P3 target in a lower layer", "file a | hard b -> a", "a#1 b=a"},
	{"P3 two layers below", "file a | file x | hard b -> a", "a#1 b=a x#2"},
	{"P3 target in no layer", "file a | hard b -> c", "error"},
	{"P3 target deleted by the layer between", "file a | .wh.a | hard b -> a", "error"},
	{"P3 target that the layer deletes itself", "file a | .wh.a; hard b -> a", "b#1"},
	{"P3 target that the layer deletes first, link first", "file a | hard b -> a; .wh.a", "b#1"},
	{"P3 target that the layer replaces later", "file a | hard b -> a; file a", "a#3 b#1"},
	{"P3 through a lower symlink", "file usr/lib/a; sym lib -> usr/lib | hard b -> lib/a", "b#1 lib#2 usr/+ usr/lib/+ usr/lib/a=b"},
	{"P3 through a lower symlink to a file of the layer", "file usr/lib/a; sym lib -> usr/lib | file usr/lib/a; hard b -> lib/a", "b#3 lib#2 usr/+ usr/lib/+ usr/lib/a=b"},
	{"P3 exchange of two lower names", "file a; file b | hard c -> a; hard d -> b; hard a -> d; hard b -> c", "a#2 b#1 c=b d=a"},
	{"P4 link without its directory", "file t; hard x/y -> t", "t#1 x/+ x/y=t"},
	{"P5 link to a symlink", "sym s -> t; hard h -> s", "h#1 s=h"},
	{"P5 link to a lower symlink", "sym s -> t; file t | hard h -> s", "h#1 s=h t#2"},
	{"P5 link to a device", "char c; block b; fifo p; hard x -> c; hard y -> b; hard z -> p", "b#2 c#1 p#3 x=c y=b z=p"},
	{"P7 forward link", "hard a -> b; file b", "a#2 b=a"},
	{"P7 forward link to a link", "hard a -> b; hard b -> c; file c", "a#3 b=a c=a"},
	{"P7 forward link over a lower file of the name", "file b | hard a -> b; file b", "a#1 b#3"},
	{"P7 forward link over a lower file, replaced by a link", "file b; file x | hard a -> b; hard b -> x", "a#1 b#2 x=b"},
	{"P7 forward link over a lower file, links to it on both sides", "file b | hard a -> b; hard c -> a; file b; hard d -> b; hard e -> a; hard f -> c", "a#1 b#4 c=a d=b e=a f=a"},
	{"P7 links to a forward link on both sides", "hard a -> b; hard c -> a; file b; hard d -> b; hard e -> a; hard f -> c", "a#3 b=a c=a d=a e=a f=a"},
	{"P7 forward link over a lower symlink", "sym b -> x | hard a -> b; file b", "a#1 b#3"},
	{"P7 forward link of a symlink", "hard a -> b; sym b -> x", "a#2 b=a"},
	{"P7 forward link over a lower symlink's place", "file e/f; sym d -> e | hard a -> d/f; file d/f", "a#1 d#2 e/+ e/f#4"},
	{"P7 forward link, target deleted first", "file b | .wh.b; hard a -> b; file b", "a#4 b=a"},
	{"P7 forward link, target deleted later", "file b | hard a -> b; .wh.b; file b", "a#1 b#4"},
	{"P7 forward link, directory of the target deleted first", "file d/b | .wh.d; hard a -> d/b; file d/b", "a#4 d/+ d/b=a"},
	{"P7 forward link, directory of the target opaque", "file d/b | d/.wh..wh..opq; hard a -> d/b; file d/b", "a#4 d/+ d/b=a"},
	{"P7 forward link, target replaced in the layer first", "file b | file b; hard a -> b; file b", "a#2 b#4"},
	{"P7 forward link, a file where the lower directory was", "file d/b | file d; hard a -> d/b; file d/b", "a#4 d/+ d/b=a"},
	{"P7 forward link over a lower directory", "dir b | hard a -> b; file b", "error"},
	{"P7 forward link over a lower file, then a directory", "file b | hard a -> b; dir b", "a#1 b/#3"},
	{"P7 forward link whose target is replaced and replaced", "hard a -> b; file b; file b", "a#2 b#3"},
	{"P7 forward links of two targets to one file", "file x; file d | hard a -> b; hard c -> d; file b; hard d -> b; file b; file d", "a#5 b#7 c#2 d#8 x#1"},
	{"P7 forward link to a forward link, both below", "file b; file c | hard a -> b; hard b -> c; file c", "a#1 b#2 c#5"},
	{"P7 forward link to a forward link, the second below", "file c | hard a -> b; hard b -> c; file c", "a#1 b=a c#4"},
	{"P7 forward link to a link to a lower file", "file c | hard a -> b; hard b -> c", "a#1 b=a c=a"},
	{"P7 forward link to a forward link, replaced before it comes", "hard a -> b; hard b -> c; file b; file c", "a#4 b#3 c=a"},
	{"P7 forward link with what it replaced", "file d/x | file a; file b; hard a -> c; hard b -> c; file c", "a#6 b=a c=a d/+ d/x#1"},
	{"P7 two layers of forward links", "hard a -> b; file b | hard c -> a; file a; hard b -> d; file d", "a#4 b#6 c#2 d=b"},
	{"P3 through a lower symlink to a link of the layer", "file g; sym d -> e | hard e/f -> g; hard a -> d/f", "a#1 d#2 e/+ e/f=a g=a"},
	{"P7 forward link replaced", "hard a -> b; file a; file b", "a#2 b#3"},
	{"P7 forward link, a directory first", "hard a -> b; dir b; file b", "a#3 b=a"},
	{"P7 forward link to a directory", "hard a -> b; dir b", "error"},
	{"P7 never comes", "hard a -> b", "error"},
	{"link to a directory", "dir d; hard a -> d", "error"},
	{"link to a lower directory", "dir d | hard a -> d", "error"},
	{"link to itself", "file a; hard a -> a", "a#1"},
	{"link below its own target", "file a; hard a/b -> a", "a/+ a/b#1"},
	{"link over a directory", "file d/x; file t; hard d -> t", "d#2 t=d"},
	{"waiting link over a directory, replaced", "file a/a; hard a -> x; fifo a/c", "a/+ a/c#3"},
	{"P8 whiteouts as hard links", "file a; file b; file c | hard .wh.a -> missing; hard .wh.b -> .wh.a", "c#3"},
	{"P8 whiteout as a directory", "file a | dir .wh.a", ""},

	{"P9 opaque before", "file d/old | dir d; d/.wh..wh..opq; file d/new", "d/#2 d/new#4"},
	{"P9 opaque after", "file d/old | dir d; file d/new; d/.wh..wh..opq", "d/#2 d/new#3"},
	{"P9 opaque first", "file d/old | d/.wh..wh..opq; dir d; file d/new", "d/#3 d/new#4"},
	{"P9 opaque first, directory last", "file d/old | d/.wh..wh..opq; file d/new; dir d", "d/#4 d/new#3"},
	{"P9 new first, opaque next", "file d/old | file d/new; d/.wh..wh..opq; dir d", "d/#4 d/new#2"},
	{"P9 new first, opaque last", "file d/old | file d/new; dir d; d/.wh..wh..opq", "d/#3 d/new#2"},
	{"P9 opaque keeps the attributes below", "dir d; file d/old | d/.wh..wh..opq; file d/new", "d/#1 d/new#4"},
	{"P9 opaque alone", "dir d; file d/old | d/.wh..wh..opq", "d/#1"},
	{"P9 opaque of nothing", "file a | d/.wh..wh..opq", "a#1 d/+"},
	{"P9 opaque over a file", "file d | d/.wh..wh..opq", "d/+"},
	{"P9 opaque is not for layers above", "dir d; d/.wh..wh..opq | file d/a | file d/b", "d/#1 d/a#3 d/b#4"},
	{"P9 opaque and deep", "file d/e/f; file d/g | d/.wh..wh..opq; file d/e/h", "d/+ d/e/+ d/e/h#4"},
	{"P10 deleted and made again", "file a | .wh.a | file a", "a#3"},
	{"P10 deleted twice", "file a | .wh.a | .wh.a", ""},
	{"P11 deleted and made in one layer", "dir d; file d/old | .wh.d; dir d; file d/new", "d/#4 d/new#5"},
	{"P11 deleted last", "dir d; file d/old | dir d; file d/new; .wh.d", "d/#3 d/new#4"},
	{"P11 deleted, only implied again", "dir d; file d/old | .wh.d; file d/new", "d/+ d/new#4"},
	{"P11 deleted above an implied directory", "dir d/e; file d/e/old | file d/e/new; .wh.d", "d/+ d/e/+ d/e/new#3"},
	{"P11 deleted and made a file", "dir d; file d/old | .wh.d; file d", "d#4"},
	{"P11 file deleted and made in one layer, whiteout last", "file a | file a; .wh.a", "a#2"},
	{"P12 opaque root", "dir .; file a; file d/b | .wh..wh..opq; file x", "./#1 x#5"},
	{"P13 directory over a lower symlink, opaque", "dir target; file target/f; sym link -> /target | dir link; link/.wh..wh..opq; file link/n", "link/#4 link/n#6 target/#1 target/f#2"},
	{"P13 opaque first", "dir target; file target/f; sym link -> /target | link/.wh..wh..opq; dir link; file link/n", "link/#5 link/n#6 target/#1 target/f#2"},
	{"P13 symlink over an opaque directory", "dir d; file d/x | sym d -> e; dir e", "d#3 e/#4"},
	{"P13 opaque beside a symlink", "file d/x | d/.wh..wh..opq; sym d/l -> x", "d/+ d/l#3"},
	{"P13 opaque and symlink of one name", "file d/x | d/.wh..wh..opq; sym d -> /x", "d#3"},
	{"P13 implied and opaque acts where the link leads", "sym link -> /t; file t/f | link/.wh..wh..opq; file link/n", "link#1 t/+ t/n#4"},
	{"P14 whiteout below what becomes a symlink", "file x | a/.wh.a; dir /; sym a -> x", "./#3 a#4 x#1"},
	{"P14 the other order", "file x | sym a -> x; dir /; a/.wh.a", "./#3 a#2 x#1"},
	{"P14 whiteout in a deleted directory", "file r/A/B/f | r/.wh.A | r/A/B/.wh.f", "r/+"},
	{"P14 whiteout of nothing", "file a | .wh.b; c/d/.wh.e", "a#1"},
	{"P14 whiteout below a file", "file a | a/.wh.b", "a#1"},
	{"whiteout through a lower symlink", "file usr/bin/a; file usr/bin/b; sym bin -> usr/bin | bin/.wh.a", "bin#3 usr/+ usr/bin/+ usr/bin/b#2"},
	{"whiteout through a symlink spares the layer's own", "sym z -> a; file a/x; file a/foo | file a/foo; z/.wh.foo; z/.wh.x", "a/+ a/foo#4 z#1"},
	{"whiteout through a deleted symlink", "file usr/a; sym bin -> usr | .wh.bin; bin/.wh.a", "usr/+ usr/a#1"},
	{"whiteout through a loop", "sym a -> a; file b | a/.wh.b", "a#1 b#2"},
	{"whiteout of a symlink", "file t/f; sym l -> t | .wh.l", "t/+ t/f#1"},
	{"whiteout through an own symlink", "file d/x; file d/y | sym l -> d; l/.wh.x", "d/+ d/y#2 l#3"},
	{"P20 whiteout in a new directory", "dir new; new/.wh.x", "new/#1"},
	{"aufs", "dir .wh..wh.plnk; file .wh..wh.plnk/1.2; .wh..wh.aufs; dir .wh..wh.orph; file a", "a#5"},
	{"aufs link", "dir .wh..wh.plnk; file .wh..wh.plnk/1.2; hard a -> .wh..wh.plnk/1.2", "a#2"},
	{"aufs links", "file .wh..wh.plnk/1.2 #5; hard z -> ./.wh..wh.plnk/1.2; hard d/a -> .wh..wh.plnk/1.2; hard b -> z", "b#5 d/+ d/a=b z=b"},
	{"aufs links to two files", "file .wh..wh.plnk/1; file .wh..wh.plnk/2; hard a -> .wh..wh.plnk/2; hard b -> .wh..wh.plnk/1; hard c -> .wh..wh.plnk/2", "a#2 b#1 c=a"},
	{"aufs link to a symlink", "sym .wh..wh.plnk/1 -> t; hard a -> .wh..wh.plnk/1; hard b -> .wh..wh.plnk/1", "a#1 b=a"},
	{"aufs link, its first name replaced", "file .wh..wh.plnk/1; hard a -> .wh..wh.plnk/1; file a; hard b -> .wh..wh.plnk/1; hard c -> .wh..wh.plnk/1", "a#3 b#1 c=b"},
	{"aufs link, one of three names replaced", "file .wh..wh.plnk/1; hard a -> .wh..wh.plnk/1; hard b -> .wh..wh.plnk/1; file a; hard c -> .wh..wh.plnk/1", "a#4 b#1 c=b"},
	{"aufs link over its own name", "file .wh..wh.plnk/1; hard a -> .wh..wh.plnk/1; hard a -> .wh..wh.plnk/1", "a#1"},
	{"aufs link over the directory of the first", "file .wh..wh.plnk/1; hard d/a -> .wh..wh.plnk/1; hard d -> .wh..wh.plnk/1", "d#1"},
	{"aufs link through a symlink", "file .wh..wh.plnk/1; dir d; sym s -> d; hard s/a -> .wh..wh.plnk/1; hard d/b -> .wh..wh.plnk/1", "d/#2 d/a#1 d/b=d/a s#3"},
	{"aufs link that wakes another", "file .wh..wh.plnk/1; hard b -> a; hard a -> .wh..wh.plnk/1", "a#1 b=a"},
	{"aufs link, the other name first", "file a; hard .wh..wh.plnk/1 -> a; hard b -> .wh..wh.plnk/1", "a#1 b=a"},
	{"aufs link, the other name first and replaced", "file a; hard .wh..wh.plnk/1 -> a; hard b -> .wh..wh.plnk/1; file a; hard c -> .wh..wh.plnk/1", "a#4 b#1 c=b"},
	{"aufs link, deep", "file x/.wh..wh.plnk/1; hard a -> x/.wh..wh.plnk/1", "a#1"},
	{"aufs link without links", "file .wh..wh.plnk/1 | file a", "a#2"},
	{"aufs link over a lower file, whited out too", "file a; file b | file .wh..wh.plnk/1; .wh.a; hard a -> .wh..wh.plnk/1", "a#3 b#2"},
	{"aufs link that wakes another, once it has a name", "file .wh..wh.plnk/1; hard z -> .wh..wh.plnk/1; hard b -> a; hard a -> .wh..wh.plnk/1", "a#1 b=a z=a"},
	{"aufs link that wakes another, over a lower file", "file a | file .wh..wh.plnk/1; hard b -> a; hard a -> .wh..wh.plnk/1", "a#2 b#1"},
	{"aufs link to a forward link that came", "hard b -> a; file a; hard .wh..wh.plnk/1 -> b; hard c -> .wh..wh.plnk/1", "a#2 b=a c=a"},
	{"aufs link to a forward link that came, over a lower file", "file a | hard b -> a; file a; hard .wh..wh.plnk/1 -> b; hard c -> .wh..wh.plnk/1", "a#3 b#1 c=b"},
	{"aufs link to a link that waits", "hard b -> a; hard .wh..wh.plnk/1 -> b; hard c -> .wh..wh.plnk/1; file a", "error"},
	{"aufs link to nothing", "hard a -> .wh..wh.plnk/1", "error"},
	{"aufs link before its file", "hard a -> .wh..wh.plnk/1; file .wh..wh.plnk/1", "error"},
	{"aufs link to a file of another layer", "file .wh..wh.plnk/1 | hard a -> .wh..wh.plnk/1", "error"},
	{"aufs link to a directory", "dir .wh..wh.plnk/1; hard a -> .wh..wh.plnk/1", "error"},
	{"aufs link to what is dropped", "file .wh..wh.orph/1; hard a -> .wh..wh.orph/1", "error"},

	{"P18 below a lower symlink", "sym bin -> usr/bin; file usr/bin/sh | file bin/foo", "bin#1 usr/+ usr/bin/+ usr/bin/foo#3 usr/bin/sh#2"},
	{"P18 with a directory entry", "sym bin -> usr/bin; file usr/bin/sh | dir bin; file bin/foo", "bin/#3 bin/foo#4 usr/+ usr/bin/+ usr/bin/sh#2"},
	{"P18 directory entry last", "sym bin -> usr/bin; file usr/bin/sh | file bin/foo; dir bin", "bin/#4 bin/foo#3 usr/+ usr/bin/+ usr/bin/sh#2"},
	{"P18 below an own symlink", "sym bin -> usr/bin; file bin/foo", "bin#1 usr/+ usr/bin/+ usr/bin/foo#2"},
	{"P18 below an own symlink that comes later", "file bin/foo; sym bin -> usr/bin", "bin#2"},
	{"P18 dangling", "sym a -> x/y | file a/f", "a#1 x/+ x/y/+ x/y/f#2"},
	{"P18 absolute", "sym a/b -> /x | file a/b/f", "a/+ a/b#1 x/+ x/f#2"},
	{"P18 chain", "sym a -> b; sym b -> /c/../d | file a/f", "a#1 b#2 d/+ d/f#3"},
	{"P18 loop", "sym a -> b; sym b -> a | file a/f", "error"},
	{"P18 loop in one layer", "sym a -> a; file a/f", "error"},
	{"below a symlink to a file", "file f; sym l -> f; file l/x", "error"},
	{"below a symlink to a lower file", "file etc/passwd; sym lib -> etc/passwd | file lib/x", "error"},
	{"below a symlink into a file", "file f; sym l -> f/d | dir l/x", "error"},
	{"below a symlink to a symlink to a device", "char c; sym l -> m; sym m -> /c | dir l/x", "error"},
	{"a hard link below a symlink to a file", "file f; sym l -> f; hard l/x -> f", "error"},
	{"a hard link through a symlink to a file", "file f; sym l -> f; hard x -> l/f", "error"},
	{"a hard link through a lower symlink to a file", "file f; sym l -> f | hard x -> l/f", "error"},
	{"below a symlink to a file that becomes a directory", "file z; sym a -> z | dir z; file a/x", "a#2 z/#3 z/x#4"},
	{"below a symlink to what the layer makes a file", "dir b; sym l -> b | file b; file l/x", "error"},
	{"a file in a directory that a symlink leads to becomes a directory", "file d/f; sym l -> d; file l/f/x", "d/+ d/f/+ d/f/x#3 l#2"},
	{"directory over a symlink to a file", "file f; sym l -> f | dir l; file l/x", "f#1 l/#3 l/x#4"},
	{"whiteout below a symlink to a file", "file f; sym l -> f; l/.wh.x; l/.wh..wh..opq", "f#1 l#2"},
	{"whiteout below a lower symlink to a file", "file f; sym l -> f | l/.wh.x; l/m/.wh.x", "f#1 l#2"},
	{"P22 file becomes a directory", "file a; file a/b", "a/+ a/b#2"},
	{"P22 over a lower file", "file a | file a/b", "a/+ a/b#2"},
	{"P22 over a lower file, through an own symlink", "file f | sym l -> f; file l/x", "f/+ f/x#3 l#2"},
	{"P22 and back", "file a/b; file a", "a#2"},
	{"P23 symlink over a directory", "file var/run/x | sym var/run -> /run", "var/+ var/run#2"},
	{"P23 in one layer", "file var/run/x; sym var/run -> /run", "var/+ var/run#2"},
	{"P23 file over a directory", "file d/e/f | file d", "d#2"},
	{"P23 directory over a file", "file d | dir d", "d/#2"},
	{"P24 root entry", "dir ./; file a", "./#1 a#2"},
	{"P24 root entry above", "dir .; file a | dir /", "./#3 a#2"},
	{"P24 root is a file", "file .", "error"},
	{"P25 implied directory keeps what is below", "dir d | file d/x", "d/#1 d/x#2"},
	{"P25 later entry counts", "file d/x; dir d", "d/#2 d/x#1"},
	{"P25 directory twice", "dir d; file d/x; dir d", "d/#3 d/x#2"},
	{"P27 names of the root and below", "dir /; file /a; file .//b; file ././c", "./#1 a#2 b#3 c#4"},
	{"P28 link out of the root", "sym d -> /.. | file d/x", "d#1 x#2"},
	{"P28 link far out of the root", "sym a/d -> ../../../../etc | file a/d/x", "a/+ a/d#1 etc/+ etc/x#2"},
	{"P28 leaf symlink is replaced", "sym a -> /etc/passwd; file a; sym b -> a | file b", "a#2 b#4"},
	{"last entry wins", "file a; sym a -> b; fifo a; char a", "a#4"},
	{"a name through a symlink takes a directory away", "sym a/b -> / | file a/c; file a/b/a", "a#3"},
}

func TestModelCases(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := "error"
			if m, err := model(parseStack(c.stack)); err == nil {
				got = brief(describeModel(m))
			}
			if got != c.want {
				t.Errorf("%s: model has\n%s\nwant\n%s", c.stack, got, c.want)
			}
		})
	}
}

func TestMergeCases(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			layers := parseStack(c.stack)
			for name, merge := range routes(t) {
				got := "error"
				text, err := merge(layers)
				if err == nil {
					got = brief(text)
				}
				if got != c.want {
					t.Errorf("%s: %s gives\n%s (%v)\nwant\n%s", c.stack, name, got, err, c.want)
				}
				// P15: neither names nor devices of whiteouts are left.
				if strings.Contains(text, ".wh.") || strings.Contains(text, " 0:0") {
					t.Errorf("%s: %s leaves whiteouts:\n%s", c.stack, name, text)
				}
			}
			if fault := checkStack(layers, func(l [][]item) (string, error) { return mergeTars(t, l, 1) }); fault != "" {
				t.Error(fault)
			}
		})
	}
}

// brief shortens what describe and describeModel say to the form of the cases.
// Owner 1000+N tells the entry.
func brief(text string) string {
	var words []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		if line == ". "+plainDir {
			continue
		}
		w := f[0]
		if f[1] == "dir" {
			w += "/"
		}
		var uid int
		fmt.Sscan(f[3], &uid)
		switch {
		case f[len(f)-2] == "=":
			w += "=" + f[len(f)-1]
		case uid == 0:
			w += "+"
		default:
			w += fmt.Sprintf("#%d", uid-1000)
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
