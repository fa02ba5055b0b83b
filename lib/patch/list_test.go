package patch

import (
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

func TestWriteChanges(t *testing.T) {
	lower := []tree.Entry{
		dir("."), dir("d"), file("d/f", "12345"), symlink("d/l", "a b"), file("same", ""), file("new\n", "1"),
		with(file("x", "x"), func(e *tree.Entry) { e.Xattrs = []tree.Xattr{{Name: "user.a", Value: "1"}} }),
	}
	r := apply(t, merged(t, lower), Options{Epoch: ptr(int64(5))},
		Remove{Path: "/d"}, Append{Path: "/new\n", Content: "2"}, Mkdir{Path: "/e"}, Xattr{Path: "/x", Name: "user.a", Remove: true}, Text{Path: "/same", Replace: true})
	var b strings.Builder
	if err := r.WriteChanges(&b); err != nil {
		t.Fatal(err)
	}
	const want = `./d type=dir mode=0755 uid=0 gid=0 time=11.000000000 ->
./d/f type=file mode=0644 uid=0 gid=0 time=22.000000000 size=5 ->
./d/l type=link mode=0777 uid=0 gid=0 time=33.000000000 link=a\040b ->
./e -> type=dir mode=0755 uid=0 gid=0 time=5.000000000
./new\012 type=file mode=0644 uid=0 gid=0 time=22.000000000 size=1 -> type=file mode=0644 uid=0 gid=0 time=5.000000000 size=2
./same type=file mode=0644 uid=0 gid=0 time=22.000000000 size=0 -> type=file mode=0644 uid=0 gid=0 time=5.000000000 size=0
./x type=file mode=0644 uid=0 gid=0 time=22.000000000 size=1 xattr.user.a=MQ== -> type=file mode=0644 uid=0 gid=0 time=22.000000000 size=1
`
	if have := b.String(); have != want {
		t.Errorf("%s", have)
	}
	if err := r.WriteChanges(full{}); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
