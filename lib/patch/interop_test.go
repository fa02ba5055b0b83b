package patch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/ext4"
	"ocipipe/lib/posixacl"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// Values of extended attributes as the kernel has them.
const (
	capNetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // cap_net_raw+ep

	// user::rw-, user:7:rwx, group::r--, mask::rwx, other::r--
	aclUser7 = "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\x07\x00\x00\x00" +
		"\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff"
	// user::rw-, group::r-x, other::--x
	aclMinimal = "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x04\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x01\x00\xff\xff\xff\xff"
)

// interopLayers are three layers with attributes of all kinds.
func interopLayers() [][]tree.Entry {
	shadow := with(file("etc/shadow", "root:*\n"), func(e *tree.Entry) { e.Mode, e.GID = 0o640, 42 })
	ping := with(file("usr/bin/ping", strings.Repeat("ping", 5000)), func(e *tree.Entry) {
		e.Mode, e.Xattrs = 0o755, []tree.Xattr{{Name: capability, Value: capNetRaw}, {Name: "user.a", Value: "1"}}
	})
	su := with(file("usr/bin/su", "su"), func(e *tree.Entry) { e.Mode, e.GID = 0o6755, 5 })
	wall := with(file("usr/bin/wall", "wall"), func(e *tree.Entry) { e.Mode = 0o6744 })
	acl := with(file("srv/acl", "acl"), func(e *tree.Entry) {
		e.Mode, e.Xattrs = 0o674, []tree.Xattr{{Name: posixacl.Access, Value: aclUser7}}
	})
	hole := tree.Entry{Path: "srv/hole", Type: tree.File, Mode: 0o600, Size: 1 << 20, Extents: []tree.Extent{{Off: 512 << 10, Len: 4}}, Content: tree.WithHoles(text("data"), 1<<20, []tree.Extent{{Off: 512 << 10, Len: 4}})}
	one := file("srv/links/a", "linked")
	bottom := []tree.Entry{
		with(dir("."), func(e *tree.Entry) { e.Mode = 0o751 }), dir("etc"), shadow, dir("usr"), dir("usr/bin"), ping, su, wall, symlink("bin", "usr/bin"),
		with(dir("tmp"), func(e *tree.Entry) { e.Mode = 0o1777 }), with(dir("root"), func(e *tree.Entry) { e.Mode = 0o700 }),
		dir("srv"), acl, hole, dir("srv/links"), one, hardlink("srv/links/b", one), hardlink("srv/links/c", one),
		dir("old"), file("old/x", "x"), dir("old/sub"), file("old/sub/y", "y"), file("old/gone", ""), dir("opt"), file("opt/hidden", "h"),
		device("dev/null"), symlink("etc/conf", "../../../srv/conf"), file("srv/conf", "conf\n"), file("taken", "t"),
	}
	middle := []tree.Entry{
		dir("."), dir("old"), whited("old/gone"), file("old/z", "z"), with(dir("opt"), func(e *tree.Entry) { e.Xattrs = []tree.Xattr{tree.Opaque} }), file("opt/shown", "s"),
	}
	top := []tree.Entry{
		dir("."), dir("old"), dir("old/sub"), with(file("old/sub/y", "y2"), func(e *tree.Entry) { e.UID = 9 }), whited("taken"),
		dir("etc"), file("etc/hosts", "127.0.0.1 localhost\n"),
	}
	return [][]tree.Entry{bottom, middle, top}
}

// interopCases are lists, and a shell that does the same. It has separate, which parts a
// name from others of its file as overlayfs does.
var interopCases = []struct {
	name  string
	ops   []Op
	shell string
}{
	{"append", []Op{
		Append{Path: "/etc/shadow", Content: "x\n"}, Append{Path: "/bin/ping", Content: "+"}, Append{Path: "/bin/su", Content: "+"},
		Append{Path: "/etc/conf", Content: "more"}, Append{Path: "/srv/hole", Content: "end"}, Append{Path: "/srv/acl", Content: "1"}, Append{Path: "/srv/acl", Content: "2"},
		Append{Path: "/srv/links/b", Content: "+"},
	}, `
		separate srv/links/b
		echo x >>etc/shadow; printf + >>bin/ping; printf + >>bin/su; printf more >>srv/conf; printf end >>srv/hole; printf 12 >>srv/acl; printf + >>srv/links/b
		touch -d @77 etc/shadow bin/ping bin/su srv/conf srv/hole srv/acl srv/links/b`},
	{"attributes", []Op{
		Chown{Path: "/usr/bin/su", Attr: Attr{Owner: Owner{UID: ptr(uint32(3))}}}, Chown{Path: "/usr/bin/wall", Attr: Attr{Owner: Owner{GID: ptr(uint32(3))}}},
		Chown{Path: "/usr/bin/ping", Attr: Attr{Owner: Owner{UID: ptr(uint32(70000)), GID: ptr(uint32(4))}, Mode: ptr(uint16(0o4711))}},
		Chown{Path: "/bin", Attr: Attr{Owner: Owner{UID: ptr(uint32(1))}}}, Chown{Path: "/", Attr: Attr{Owner: Owner{UID: ptr(uint32(2))}}},
		Chmod{Path: "/srv/acl", Mode: 0o4751}, Chmod{Path: "/tmp", Mode: 0o2755}, Chmod{Path: "/srv/links/a", Mode: 0},
		Chown{Path: "/tmp", Attr: Attr{Owner: Owner{UID: ptr(uint32(8))}}}, Chmod{Path: "/dev/null", Mode: 0o666},
		Xattr{Path: "/srv/conf", Name: posixacl.Access, Value: aclUser7}, Xattr{Path: "/srv/hole", Name: posixacl.Access, Value: aclMinimal},
		Xattr{Path: "/root", Name: posixacl.Default, Value: aclUser7}, Xattr{Path: "/etc/conf", Name: "trusted.link", Value: "l\x00"},
		Xattr{Path: "/old/x", Name: "user.b", Value: "2"}, Xattr{Path: "/old/x", Name: "user.a", Value: "1"}, Xattr{Path: "/old/x", Name: "user.b", Remove: true},
		Xattr{Path: "/old/z", Name: capability, Value: capNetRaw},
		Touch{Path: "/etc/hosts", Time: &tree.Time{Sec: -2, Nsec: 500000000}}, Touch{Path: "/etc/conf"}, Touch{Path: "/new"},
	}, `
		separate srv/links/a
		chown 3 usr/bin/su; chown :3 usr/bin/wall; chown 70000:4 usr/bin/ping; chmod 4711 usr/bin/ping
		chown -h 1 bin; chown 2 .; chmod 4751 srv/acl; chmod 2755 tmp; chmod 0 srv/links/a; chown 8 tmp; chmod 666 dev/null
		chown 0 srv/conf srv/hole root # overlayfs sets no list of what lies on EROFS, but of its copy
		setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff020007000700000004000400ffffffff10000700ffffffff20000400ffffffff srv/conf
		setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff04000500ffffffff20000100ffffffff srv/hole
		setfattr -n system.posix_acl_default -v 0x0200000001000600ffffffff020007000700000004000400ffffffff10000700ffffffff20000400ffffffff root
		setfattr -h -n trusted.link -v 0x6c00 etc/conf
		setfattr -n user.b -v 2 old/x; setfattr -n user.a -v 1 old/x; setfattr -x user.b old/x
		setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 old/z
		touch -d @-1.5 etc/hosts; touch -h -d @77 etc/conf; touch -d @77 new`},
	{"names", []Op{
		Text{Path: "/bin/tool", Content: "#!/bin/sh\n", Attr: Attr{Mode: ptr(uint16(0o4755)), Owner: Owner{GID: ptr(uint32(6))}}},
		Text{Path: "/tmp/a/b/c", Content: "deep"}, Text{Path: "/etc/shadow", Content: "new", Replace: true}, Text{Path: "/taken", Content: "again"},
		File{Path: "/root/bytes", Content: []byte{0, 1, 255}}, Text{Path: "/old/gone", Content: "back"},
		Remove{Path: "/opt"}, Mkdir{Path: "/opt"}, Text{Path: "/opt/only", Content: "o"},
		Text{Path: "/old/sub", Content: "now a file", Replace: true},
		Remove{Path: "/etc/hosts"}, Mkdir{Path: "/etc/hosts", Attr: Attr{Mode: ptr(uint16(0o750))}}, Text{Path: "/etc/hosts/x", Content: "below"},
		Symlink{Target: "usr", Link: "/bin", Replace: true}, Symlink{Target: "/srv", Link: "/root/srv"}, Text{Path: "/root/srv/through", Content: ""},
		Remove{Path: "/nothing/here"}, Remove{Path: "/dev"}, Mkdir{Path: "/dev/pts"}, Mkdir{Path: "/srv"},
	}, `
		umask 022
		printf '#!/bin/sh\n' >bin/tool; chown :6 bin/tool; chmod 4755 bin/tool
		mkdir -p tmp/a/b; printf deep >tmp/a/b/c; rm etc/shadow; printf new >etc/shadow; printf again >taken
		printf '\0\1\377' >root/bytes; printf back >old/gone
		rm -r opt; mkdir opt; printf o >opt/only; rm -r old/sub; printf 'now a file' >old/sub
		rm etc/hosts; mkdir -m 750 etc/hosts; printf below >etc/hosts/x; ln -sfn usr bin; ln -s /srv root/srv; : >srv/through
		rm -r dev; mkdir -p dev/pts
		touch -h -d @77 usr/bin/tool tmp/a/b/c etc/shadow taken root/bytes old/gone opt/only old/sub etc/hosts/x bin root/srv srv/through`},
	{"links and moves", []Op{
		Link{Target: "/srv/links/a", Link: "/srv/links/d"}, Append{Path: "/srv/links/d", Content: "+"},
		Rename{Src: "/old", Dst: "/var/lib/new"}, Text{Path: "/old/x", Content: "another"}, Text{Path: "/var/lib/new/sub/w", Content: "w"},
		Link{Target: "/bin", Link: "/sbin"}, Link{Target: "/dev/null", Link: "/dev/zero"},
		Rename{Src: "/etc/shadow", Dst: "/etc/passwd"}, Rename{Src: "/usr/bin/su", Dst: "/opt", Replace: true},
		Rename{Src: "/tmp", Dst: "/etc/hosts", Replace: true}, Rename{Src: "/usr/bin", Dst: "/usr/sbin"}, Append{Path: "/usr/sbin/ping", Content: "+"},
	}, `
		umask 022
		separate srv/links/a
		ln srv/links/a srv/links/d; printf + >>srv/links/d
		mkdir -p var/lib; mv old var/lib/new; mkdir old; printf another >old/x; printf w >var/lib/new/sub/w
		ln -P bin sbin; ln dev/null dev/zero
		mv etc/shadow etc/passwd; rm -r opt; mv usr/bin/su opt; rm etc/hosts; mv tmp etc/hosts; mv usr/bin usr/sbin; printf + >>usr/sbin/ping
		touch -d @77 srv/links/d old/x var/lib/new/sub/w usr/sbin/ping`},
	{"moved links", []Op{
		Rename{Src: "/srv/links", Dst: "/links"}, Append{Path: "/links/a", Content: "+"}, Rename{Src: "/links/b", Dst: "/b"}, Chmod{Path: "/b", Mode: 0o600},
		Rename{Src: "/links", Dst: "/srv/links"},
	}, `
		mv srv/links links; printf + >>links/a; touch -d @77 links/a; mv links/b b; chmod 600 b; mv links srv/links`},
	{"copies", []Op{
		CopyDir{Dst: "/", Replace: true}, CopyDir{Dst: "/copy", Owner: Owner{UID: ptr(uint32(5))}}, CopyFile{Dst: "/etc/shadow", Replace: true},
		CopyFile{Dst: "/etc/file", Attr: Attr{Mode: ptr(uint16(0o600))}},
	}, `
		umask 022
		cp -r --no-preserve=ownership "$SRC/tree/usr/." usr/; cp -r "$SRC/tree/bin/." usr/bin/; cp -r "$SRC/tree/tmp/." tmp/; mkdir -p new; cp -r "$SRC/tree/new/." new/
		cp -r "$SRC/tree" copy; rm etc/shadow; cp "$SRC/file" etc/shadow; cp "$SRC/file" etc/file
		for at in . copy; do chmod 4751 $at/usr/bin/tool; chmod 640 $at/tmp/t; chmod 700 $at/new; done
		chmod 777 copy/tmp; chmod 755 copy copy/usr copy/usr/bin copy/bin
		chmod 755 etc/shadow; chmod 600 etc/file
		chown -hR 0:0 usr/bin/tool usr/bin/other tmp/t new etc/shadow etc/file; chown -hR 5:0 copy
		find copy new usr/bin/tool usr/bin/other tmp/t etc/shadow etc/file -exec touch -h -d @77 {} +`},
	{"nothing", nil, ``},
}

// hostSource makes what is copied.
func hostSource(t *testing.T) string {
	t.Helper()
	at := t.TempDir()
	for _, cmd := range []string{
		"umask 022; mkdir -p tree/usr/bin tree/bin tree/tmp tree/new; chmod 777 tree/tmp; chmod 700 tree/new; chmod 755 tree",
		"printf tool >tree/usr/bin/tool; chmod 4751 tree/usr/bin/tool; printf other >tree/bin/other; printf t >tree/tmp/t; chmod 640 tree/tmp/t",
		"ln -s /etc/passwd tree/new/link; ln tree/tmp/t tree/new/hard; printf file >file; chmod 755 file; chown -R 1234:1234 tree file",
	} {
		reftest.Run(t, "bash", "-ec", "cd "+at+"; "+cmd)
	}
	return at
}

// TestInteropKernel compares the difference, mounted by the kernel above the images of
// three layers, and the whole tree, mounted as one image, with what a shell does to an
// unpacked copy, and in an overlay that can be written to.
func TestInteropKernel(t *testing.T) {
	reftest.NeedRoot(t)
	src := hostSource(t)
	var lowers []string
	for i, entries := range interopLayers() {
		lowers = append(lowers, erofsImage(t, fmt.Sprint(i), layer(t, entries...).Source(tree.Layer), true))
	}
	for i, image := range lowers {
		lowers[i] = reftest.Mount(t, "erofs", image, "")
	}
	for _, c := range interopCases {
		t.Run(c.name, func(t *testing.T) {
			unpacked := t.TempDir()
			reftest.Run(t, "bash", "-ec", "cp -a '"+reftest.Overlay(t, lowers...)+"/.' '"+unpacked+"'")
			patched := facts(t, shell(t, unpacked, src, c.shell))
			reftest.Compare(t, patched, facts(t, shell(t, writable(t, lowers), src, c.shell)))

			r := apply(t, merged(t, interopLayers()...), Options{Epoch: ptr(int64(77))}, withSources(c.ops, src)...)
			difference := reftest.Mount(t, "erofs", erofsImage(t, "diff", r.Source(tree.Layer), true), "")
			for name, root := range map[string]string{
				"whole":  reftest.Mount(t, "erofs", erofsImage(t, "full", r.Source(tree.Flat), false), ""),
				"layer":  reftest.Overlay(t, append(lowers[:3:3], difference)...),
				"upper":  overUpper(t, lowers, ext4Upper(t, r.Source(tree.Layer))),
				"stream": reftest.Mount(t, "erofs", erofsImage(t, "merged", mergedAgain(t, r).Source(tree.Flat), false), ""),
			} {
				t.Run(name, func(t *testing.T) { reftest.Compare(t, patched, facts(t, root)) })
			}
		})
	}
}

// withSources fills the sources of copies in: tree, or tree and file.
func withSources(ops []Op, src string) []Op {
	var list []Op
	for _, op := range ops {
		switch o := op.(type) {
		case CopyDir:
			o.Src = Source{Dir: src, Path: "tree"}
			op = o
		case CopyFile:
			o.Src = Source{Dir: src, Path: "file"}
			op = o
		}
		list = append(list, op)
	}
	return list
}

// mergedAgain is the difference of r applied to the layers.
func mergedAgain(t *testing.T, r *Result) *tree.Tree {
	t.Helper()
	diff, err := tree.ReadLayer(r.Source(tree.Layer), nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := merged(t, interopLayers()...)
	if err := tr.Apply(diff); err != nil {
		t.Fatal(err)
	}
	return tr
}

// shell runs script in the directory at and returns that.
func shell(t *testing.T, at, src, script string) string {
	t.Helper()
	reftest.Run(t, "bash", "-c", "set -e; cd '"+at+"'; SRC='"+src+"'; separate() { cp -a $1 $1.new; mv $1.new $1; }\n"+script)
	return at
}

// facts are those of all below root, but for the times of directories, and with links
// counted as they are seen: overlayfs counts names that it has parted.
func facts(t *testing.T, root string) []reftest.Fact {
	t.Helper()
	list := reftest.Walk(t, root, reftest.Look{})
	names := make(map[string]uint64)
	for _, f := range list {
		names[f.SameAs]++
	}
	for i := range list {
		f := &list[i]
		if f.Nlink = names[f.SameAs]; f.Type == "dir" {
			f.Time, f.Nlink = "", 0
			delete(f.Xattrs, "trusted.ocipipe.implied") // images of layers show it
		}
	}
	return list
}

func erofsImage(t *testing.T, name string, src tree.Source, layer bool) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name+".erofs"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := erofs.NewWriter(t.Context(), f, erofs.Options{Layer: layer, Check: true})
	if err == nil {
		err = tree.Copy(context.Background(), w, src)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func ext4Upper(t *testing.T, src tree.Source) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "upper.ext4"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := ext4.NewWriter(t.Context(), f, ext4.Options{Upper: true, Size: 64 << 20, Check: true})
	if err == nil {
		err = tree.Copy(context.Background(), w, src)
	}
	if err != nil {
		t.Fatal(err)
	}
	reftest.Run(t, "e2fsck", "-fn", f.Name())
	return f.Name()
}

// overUpper mounts the disk, which can be written to, over lowers.
func overUpper(t *testing.T, lowers []string, disk string) string {
	t.Helper()
	at := t.TempDir()
	reftest.Run(t, "mount", "-o", "loop", disk, at)
	t.Cleanup(func() { reftest.Run(t, "umount", at) })
	return over(t, lowers, at+"/upper", at+"/work")
}

// writable is an overlay of lowers with an empty upper directory.
func writable(t *testing.T, lowers []string) string {
	t.Helper()
	disk := t.TempDir() // both on one file system
	upper, work := disk+"/upper", disk+"/work"
	reftest.Run(t, "bash", "-ec", "mkdir '"+upper+"' '"+work+"'; chmod --reference '"+lowers[2]+"' '"+upper+"'")
	return over(t, lowers, upper, work)
}

func over(t *testing.T, lowers []string, upper, work string) string {
	t.Helper()
	at := t.TempDir()
	reftest.Run(t, "mount", "-t", "overlay", "-o", fmt.Sprintf("lowerdir=%s:%s:%s,upperdir=%s,workdir=%s", lowers[2], lowers[1], lowers[0], upper, work), "overlay", at)
	t.Cleanup(func() { reftest.Run(t, "umount", at) })
	return at
}
