package erofspatch

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ocipipe/lib/cli"
	"ocipipe/lib/patch"
	"ocipipe/lib/tree"
)

func ptr[T any](v T) *T { return &v }

func mode(m uint16) patch.Attr { return patch.Attr{Mode: &m} }

func TestParsers(t *testing.T) {
	ids := func(uid, gid *uint32) patch.Attr { return patch.Attr{Owner: patch.Owner{UID: uid, GID: gid}} }
	for _, c := range []struct {
		flag, value string
		want        patch.Op
	}{
		{"text", "/a=", patch.Text{Path: "/a"}},
		{"text", `/a:0600=b=c:d\:e`, patch.Text{Path: "/a", Content: `b=c:d\:e`, Attr: mode(0o600)}},
		{"text", `/a\=b\:c\\d\x2d=x`, patch.Text{Path: `/a=b:c\d\x2d`, Content: "x"}},
		{"text", `/a:b:4755=x`, patch.Text{Path: "/a:b", Content: "x", Attr: mode(0o4755)}},
		{"file", "/a=AAH/", patch.File{Path: "/a", Content: []byte{0, 1, 255}}},
		{"append", "/a=b", patch.Append{Path: "/a", Content: "b\n"}},
		{"append", "/a=b\n", patch.Append{Path: "/a", Content: "b\n"}},
		{"append", "/a:0600=", patch.Append{Path: "/a", Content: "\n", Attr: mode(0o600)}},
		{"copy-file", `s:/a`, patch.CopyFile{Src: patch.Source{Path: "s"}, Dst: "/a"}},
		{"copy-file", `s\:t:/a\:b:0700`, patch.CopyFile{Src: patch.Source{Path: "s:t"}, Dst: "/a:b", Attr: mode(0o700)}},
		{"copy-dir", `/s:/a\:0700`, patch.CopyDir{Src: patch.Source{Path: "/s"}, Dst: "/a:0700"}},
		{"mkdir", "/data:0750", patch.Mkdir{Path: "/data", Attr: mode(0o750)}},
		{"mkdir", "/data:0000", patch.Mkdir{Path: "/data", Attr: mode(0)}},
		{"mkdir", `/data\:0750`, patch.Mkdir{Path: "/data:0750"}},
		{"symlink", `../t\:u:/l`, patch.Symlink{Target: "../t:u", Link: "/l"}},
		{"link", "/t:/l", patch.Link{Target: "/t", Link: "/l"}},
		{"rename", `/s:/d\\`, patch.Rename{Src: "/s", Dst: `/d\`}},
		{"remove", `/a:b=c\:`, patch.Remove{Path: "/a:b=c:"}},
		{"chmod", "/:1777", patch.Chmod{Path: "/", Mode: 0o1777}},
		{"chown", "/a:b=1:2", patch.Chown{Path: "/a:b", Attr: ids(ptr(uint32(1)), ptr(uint32(2)))}},
		{"chown", "/a=0", patch.Chown{Path: "/a", Attr: ids(ptr(uint32(0)), nil)}},
		{"chown", "/a=:4294967294", patch.Chown{Path: "/a", Attr: ids(nil, ptr(uint32(1<<32-2)))}},
		{"xattr", `/a=user.x\=y=v=w`, patch.Xattr{Path: "/a", Name: "user.x=y", Value: "v=w"}},
		{"xattr", "/a=user.x=", patch.Xattr{Path: "/a", Name: "user.x"}},
		{"xattr", "/a=user.x=0x00fF", patch.Xattr{Path: "/a", Name: "user.x", Value: "\x00\xff"}},
		{"xattr", "/a=user.x=0sAAH/", patch.Xattr{Path: "/a", Name: "user.x", Value: "\x00\x01\xff"}},
		{"remove-xattr", "/a=user.x", patch.Xattr{Path: "/a", Name: "user.x", Remove: true}},
		{"touch", "/a", patch.Touch{Path: "/a"}},
		{"touch", "/a:0600=-1.5", patch.Touch{Path: "/a", Time: &tree.Time{Sec: -2, Nsec: 500000000}, Attr: mode(0o600)}},
		{"touch", "/a=2024-01-31T12:00:00+01:00", patch.Touch{Path: "/a", Time: &tree.Time{Sec: 1706698800}}},
	} {
		op, err := parsers[c.flag](c.value, false)
		if err != nil || !reflect.DeepEqual(op, c.want) {
			t.Errorf("--%s %s: %+v, %v; expected %+v", c.flag, c.value, op, err, c.want)
		}
		replaced, err := parsers[c.flag](c.value, true)
		if field := reflect.ValueOf(replaced).FieldByName("Replace"); err != nil || field.IsValid() && !field.Bool() {
			t.Errorf("--%s %s --replace: %+v, %v", c.flag, c.value, replaced, err)
		}
	}
}

// TestSourceOnWindows: the colon of a drive does not end the source.
func TestSourceOnWindows(t *testing.T) {
	for value, want := range map[string][2]string{
		`C:\vm:/etc/oci`:    {`C:\vm`, "/etc/oci"},
		`C:/vm\:x:/etc`:     {`C:/vm:x`, "/etc"},
		`C:\vm`:             {},
		`C:\vm:/etc:/oci`:   {},
		`C:\a\\b:/etc\:oci`: {`C:\a\b`, "/etc:oci"},
	} {
		src, dst, err := pairBehind(value, len("C:"))
		if src != want[0] || dst != want[1] || (err == nil) != (want[1] != "") {
			t.Errorf("%s: %q %q %v, want %q", value, src, dst, err, want)
		}
	}
	if src, dst, _ := pairBehind(`\\server\share\vm:/etc`, len(`\\server\share`)); src != `\\server\share\vm` || dst != "/etc" {
		t.Errorf("a share: %q %q", src, dst)
	}
}

// stream makes a tree stream and returns its name.
func stream(t *testing.T) string {
	t.Helper()
	const text = "#mtree ocipipe-tree 1 data=inline\n" +
		". type=dir mode=0700 uid=1 gid=0 time=3.000000000\n./a type=file mode=0640 uid=0 gid=7 time=3.000000000 size=2\nx\n\n#end records=2 bytes=2\n"
	name := filepath.Join(t.TempDir(), "stream")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// run runs the tool and returns what it writes and says.
func run(t *testing.T, args ...string) (code int, out, said string) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	out = filepath.Join(t.TempDir(), "out")
	file, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var b strings.Builder
	code = cli.Run(manual, &tool{}, args, cli.Streams{Stdin: null, Stdout: file, Stderr: &b})
	text, _ := os.ReadFile(out)
	return code, string(text), b.String()
}

func TestOrder(t *testing.T) {
	lower := stream(t)
	code, out, said := run(t, "--lower", lower, "--append", "/a=1", "--rename=/a:/b", "--append", "/b=2", "--text", "/a=new", "--mtime=9")
	const want = ". type=dir mode=0700 uid=1 gid=0 time=3.000000000\n./a type=file mode=0644 uid=0 gid=0 time=9.000000000 size=3\nnew\n" +
		"./b type=file mode=0640 uid=0 gid=7 time=9.000000000 size=6\nx\n1\n2\n\n#end "
	if code != 0 || said != "" || !strings.Contains(out, want) {
		t.Errorf("code %d: %s%s", code, said, out)
	}
}

func TestUsage(t *testing.T) {
	lower := stream(t)
	for _, c := range []struct{ args, said string }{
		{"--text /a", "--text /a: no equals sign after the path"},
		{"--text a=x", `--text a: path "a" is not absolute`},
		{"--text /a:b=x", `"b" after the colon is not a mode`},
		{"--text /a:=x", `"" after the colon is not a mode`},
		{"--mkdir /a:755", `"755" after the colon is not a mode`},
		{"--mkdir /a:07777", `"07777" after the colon is not a mode`},
		{"--mkdir /a:7778", `"7778" after the colon is not a mode`},
		{"--mkdir /a:+755", `"+755" after the colon is not a mode`},
		{"--mkdir /", "--mkdir /: not for the root directory"},
		{"--mkdir /a/../b", `path component ".."`},
		{"--file /a=A", "the content is not base64"},
		{"--copy-file /a", "no colon between"},
		{"--copy-file a:/b:c", `"c" after the colon is not a mode`},
		{"--copy-file :/b", "source without a path"},
		{"--copy-dir a:/b:0755", "not two paths with a colon between"},
		{"--symlink /a", "not two paths"},
		{"--symlink :/a", "symbolic link without a target"},
		{"--link a:/b", "is not absolute"},
		{"--rename /a:b:c", "not two paths"},
		{"--chmod /a", "no colon with a mode"},
		{"--chmod /a=0755", "no colon with a mode"},
		{"--chown /a", "not PATH=UID[:GID]"},
		{"--chown /a=", `"" is not a number`},
		{"--chown /a=:", `"" is not a number`},
		{"--chown /a=1:", `"" is not a number`},
		{"--chown /a=root", `"root" is not a number`},
		{"--chown /a=4294967295", "is not a number"},
		{"--xattr /a=user.x", "not PATH=NAME=VALUE"},
		{"--xattr /a=x=y", "the names begin with user."},
		{"--xattr /a=user.x=0x0", "the value after 0x is not hex"},
		{"--xattr /a=user.x=0sA", "the value after 0s is not base64"},
		{"--xattr /a=trusted.overlay.opaque=y", "is a mark of layers"},
		{"--remove-xattr /a", "not PATH=NAME"},
		{"--touch /a=now", "is not a time"},
		{"--remove=", "--remove: "},
		{"--device x --lower y", "--device x: comes before the --lower"},
		{"--lower=", "the name of an input is empty"},
		{"--lower - -", "standard input is named twice"},
		{"--device - -", "standard input is named twice"},
	} {
		code, out, said := run(t, append([]string{"--lower", lower}, strings.Fields(c.args)...)...)
		if strings.Contains(c.args, "--device x") {
			code, out, said = run(t, append(strings.Fields(c.args), "--lower", lower)...)
		}
		if code != 2 || out != "" || !strings.HasPrefix(said, "erofs-patch: ") || !strings.Contains(said, c.said) {
			t.Errorf("%s: code %d: %s%s", c.args, code, said, out)
		}
	}
}
