package patch_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"ocipipe/lib/patch"
	"ocipipe/lib/tree"
)

// A list in YAML is applied to a tree, and the difference written as a tree stream.
func Example() {
	lower := tree.NewFlat()
	lower.Set("etc", &tree.Entry{Type: tree.Dir, Mode: 0o755})
	lower.Set("etc/hosts", &tree.Entry{Type: tree.File, Mode: 0o640, GID: 42, Size: 12, Content: tree.Bytes("127.0.0.1 a\n")})
	lower.Set("var", &tree.Entry{Type: tree.Link, Mode: 0o777, Link: "etc"})

	ops, err := patch.Decode(strings.NewReader(`
- append: {path: /etc/hosts, content: "10.0.0.2 db\n"}
- mkdir: {path: /var/data, mode: "0750"}
`), "patches.yaml")
	if err != nil {
		log.Fatal(err)
	}
	result, err := patch.Apply(context.Background(), lower, ops, patch.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := tree.Copy(context.Background(), tree.NewWriter(os.Stdout, tree.WriterOptions{}), result.Source(tree.Layer)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// #mtree ocipipe-tree 1 data=inline
	// . type=dir mode=0755 uid=0 gid=0 time=0.000000000
	// ./etc type=dir mode=0755 uid=0 gid=0 time=0.000000000
	// ./etc/data type=dir mode=0750 uid=0 gid=0 time=0.000000000
	// ./etc/hosts type=file mode=0640 uid=0 gid=42 time=0.000000000 size=24
	// 127.0.0.1 a
	// 10.0.0.2 db
	//
	// #end records=4 bytes=24 crc32=4c3690f6
}

// What a list would change can be shown before anything is written.
func ExampleResult_Changes() {
	lower := tree.NewFlat()
	lower.Set("motd", &tree.Entry{Type: tree.File, Mode: 0o644})
	lower.Set("tmp", &tree.Entry{Type: tree.Dir, Mode: 0o1777})

	mode := uint16(0o600)
	result, err := patch.Apply(context.Background(), lower, []patch.Op{
		patch.Text{Path: "/tmp/key", Content: "secret", Attr: patch.Attr{Mode: &mode}},
		patch.Remove{Path: "/motd"},
	}, patch.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for change := range result.Changes() {
		switch {
		case change.Old == nil:
			fmt.Printf("%s: new, mode %04o\n", change.Path, change.New.Mode)
		case change.New == nil:
			fmt.Printf("%s: removed\n", change.Path)
		default:
			fmt.Printf("%s: changed\n", change.Path)
		}
	}
	// Output:
	// motd: removed
	// tmp/key: new, mode 0600
}

// An error says which operation it is, and why.
func ExampleOpError() {
	_, err := patch.Apply(context.Background(), tree.NewFlat(), []patch.Op{
		patch.Mkdir{Path: "/etc"},
		patch.Append{Path: "/etc/shadow", Content: "root:*\n"},
	}, patch.Options{})
	fmt.Println(err)
	// Output: patch 2 (append /etc/shadow): not found
}
