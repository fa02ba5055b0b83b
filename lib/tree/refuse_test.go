package tree

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

// TestReaderRefuses has a violation of every rule.
func TestReaderRefuses(t *testing.T) {
	file := func(words string) string { return head + "./a type=file" + attrs + words + "\n" + end(1, 0) }
	dir := func(words string) string { return head + "./a type=dir" + attrs + words + "\n" + end(1, 0) }
	path := func(p string) string { return head + p + " type=dir" + attrs + "\n" + end(1, 0) }
	bare := func(words string) string { return head + "./a " + words + "\n" + end(1, 0) }
	noData := func(words string) string { return none + "./a " + words + "\n" + end(1, 0) }
	props := func(n int, value string) (s string) {
		for i := range n {
			s += fmt.Sprintf("#:p%d=%s\n", i, value)
		}
		return s
	}
	sum := strings.Repeat("0a", 32)
	many := strings.Repeat("/"+strings.Repeat("d", 255), 16)

	// What the rules allow, so that each refusal below is for its own reason.
	accepted := map[string]string{
		"nothing at all":     head + end(0, 0),
		"file":               file(" size=0"),
		"any order":          bare("gid=1 uid=0 size=0 time=0.000000000 mode=0644 type=file"),
		"100 properties":     head + props(100, strings.Repeat("v", MaxLine/101)) + end(0, 0),
		"crc":                sealed(head+root, 1, 0),
		"upper-case crc":     head + "#end records=0 bytes=0 crc32=" + fmt.Sprintf("%08X", crc32.ChecksumIEEE([]byte(head))) + "\n",
		"escaped letters":    path(`./\141\057b`),
		"path of 4095":       path("." + many[:4096]),
		"component of 255":   path("./" + strings.Repeat(`\001`, 255)),
		"xattr of 255":       dir(" xattr." + strings.Repeat("n", 255) + "="),
		"xattr value":        dir(" xattr.a=" + strings.Repeat("AAAA", 65535/3)),
		"smallest time":      bare("type=fifo mode=0000 uid=0 gid=0 time=-9223372036854775808.000000000"),
		"largest time":       bare("type=fifo mode=0000 uid=0 gid=0 time=9223372036854775807.999999999"),
		"largest hole":       file(" size=9223372036854775807 extents=-"),
		"lower link":         file(" size=0 hardlink=./b lower"),
		"lower links":        file(" size=0 hardlink=./b lower below=./a,./a" + strings.Repeat(",./c", 13)),
		"below":              file(" size=0 below=./a" + strings.Repeat(",./a", 15)),
		"opaque nochange":    dir(" nochange xattr.trusted.overlay.opaque=eQ=="),
		"mode without zeros": noData("type=file mode=0 uid=0 gid=0 time=0.000000000 size=7 nlink=2 sha256digest=" + sum),
		"mode of gomtree":    noData("type=fifo mode=07777 uid=0 gid=0 time=0.000000000"),
		"link of gomtree":    noData(`type=link mode=0777 uid=0 gid=0 time=0.000000000 link=a=b\\134`),
	}
	for name, in := range accepted {
		if _, _, err := readAll(strings.NewReader(in), ReaderOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	for _, c := range []struct{ name, in, want string }{
		{"no magic", "#mt\x00\n", "first line"},
		{"another magic", "#mtree\n", "is an mtree listing, not a tree stream"},
		{"a layer", "etc/passwd" + strings.Repeat("\x00", 247) + "ustar\n", "is a tar archive, not a tree stream"},
		{"a disk, without a line end", "KDMV" + strings.Repeat("\x00", MaxLine), "is a VMDK disk, not a tree stream"},
		{"other version", "#mtree ocipipe-tree 2 data=inline\n", "first line"},
		{"other data", "#mtree ocipipe-tree 1 data=some\n" + end(0, 0), "first line"},
		{"text without line feed", "#mtx", "first line"},
		{"CR LF", strings.ReplaceAll(head+end(0, 0), "\n", "\r\n"), "first line"},

		{"property without value", head + "#:a\n" + end(0, 0), "property"},
		{"property key", head + "#:A=b\n" + end(0, 0), "property"},
		{"property key of digits", head + "#:1=b\n" + end(0, 0), "property"},
		{"empty property key", head + "#:=b\n" + end(0, 0), "property"},
		{"property twice", head + "#:a=b\n#:a=c\n" + end(0, 0), "property a appears twice"},
		{"raw property value", head + "#:a=b c\n" + end(0, 0), "must be written \\040"},
		{"101 properties", head + props(101, "") + end(0, 0), "more than 100 properties"},
		{"large properties", head + props(3, strings.Repeat("v", MaxLine/3)) + end(0, 0), "bytes of them"},
		{"property behind a record", head + root + "#:a=b\n" + end(1, 0), "comment"},

		{"comment", head + "# hello\n" + end(0, 0), "comment"},
		{"blank line", head + "\n" + end(0, 0), "blank line"},
		{"/set", head + "/set type=file\n" + end(0, 0), "does not begin with ./"},
		{"continuation", head + "./a type=dir \\\n mode=0755 uid=0 gid=0 time=0.000000000\n" + end(1, 0), "unknown keyword"},
		{"space before", path(" ./a"), "does not begin with ./"},
		{"two spaces", file("  size=0"), "more than one space"},
		{"space behind", file(" size=0 "), "more than one space"},
		{"tab", file("\tsize=0"), "time is not"},
		{"line too long", file(" size=0 x-a=" + strings.Repeat("x", MaxLine)), "line longer than 1048576"},

		{"relative path", path("a"), "does not begin with ./"},
		{"absolute path", path("/a"), "does not begin with ./"},
		{"no path", path("./"), `component ""`},
		{"dot", path("./."), `component "."`},
		{"inner dot", path("./a/./b"), `component "."`},
		{"dot dot", path("./a/../b"), `component ".."`},
		{"escaped dot dot", path(`./\056\056`), `component ".."`},
		{"outside", path("../a"), "does not begin with ./"},
		{"empty component", path("./a//b"), `component ""`},
		{"slash behind", path("./a/"), `component ""`},
		{"long component", path("./" + strings.Repeat("n", 256)), "component of 256 bytes"},
		{"long path", path("." + many[:4095] + "/a"), "path of 4096 bytes"},
		{"NUL", path(`./a\000`), "escape"},
		{"octal over 377", path(`./a\400`), "escape"},
		{"two octal digits", path(`./a\01`), "escape"},
		{"digit 8", path(`./a\018`), "escape"},
		{"other escape", path(`./a\n`), "escape"},
		{"double backslash", path(`./a\\`), "escape"},
		{"raw glob", path(`./a*`), "must be written \\052"},
		{"raw equals", path(`./a=b`), "must be written \\075"},
		{"raw byte", path("./\xe9"), "must be written \\351"},
		{"root is a file", head + ". type=file" + attrs + " size=0\n" + end(1, 0), "root is not a directory"},

		{"no words", head + "./a\n" + end(1, 0), "type is missing"},
		{"unknown type", bare("type=door" + attrs), "type is missing or unknown"},
		{"empty type", bare("type=" + attrs), "type is missing or unknown"},
		{"no mode", bare("type=fifo uid=0 gid=0 time=0.000000000"), "mode"},
		{"three digits", bare("type=fifo mode=644 uid=0 gid=0 time=0.000000000"), "mode"},
		{"five digits", bare("type=fifo mode=00644 uid=0 gid=0 time=0.000000000"), "mode"},
		{"mode 8", bare("type=fifo mode=0648 uid=0 gid=0 time=0.000000000"), "mode"},
		{"mode over 7777", noData("type=fifo mode=10000 uid=0 gid=0 time=0.000000000"), "mode"},
		{"no uid", bare("type=fifo mode=0644 gid=0 time=0.000000000"), "uid or gid"},
		{"no gid", bare("type=fifo mode=0644 uid=0 time=0.000000000"), "uid or gid"},
		{"uid of 33 bits", bare("type=fifo mode=0644 uid=4294967296 gid=0 time=0.000000000"), "uid or gid"},
		{"leading zero", bare("type=fifo mode=0644 uid=00 gid=0 time=0.000000000"), "uid or gid"},
		{"negative uid", bare("type=fifo mode=0644 uid=-1 gid=0 time=0.000000000"), "uid or gid"},
		{"no time", bare("type=fifo mode=0644 uid=0 gid=0"), "time"},
		{"time without fraction", bare("type=fifo mode=0644 uid=0 gid=0 time=0"), "time"},
		{"time of 8 digits", bare("type=fifo mode=0644 uid=0 gid=0 time=0.00000000"), "time"},
		{"time of 10 digits", bare("type=fifo mode=0644 uid=0 gid=0 time=0.0000000000"), "time"},
		{"negative zero", bare("type=fifo mode=0644 uid=0 gid=0 time=-0.500000000"), "time"},
		{"time over 63 bits", bare("type=fifo mode=0644 uid=0 gid=0 time=9223372036854775808.000000000"), "time"},
		{"plus", bare("type=fifo mode=0644 uid=0 gid=0 time=+1.000000000"), "time"},

		{"file without size", file(""), "size belongs"},
		{"dir with size", dir(" size=0"), "size belongs"},
		{"size", file(" size=x"), "size is not"},
		{"size of 64 bits", file(" size=9223372036854775808"), "size is not"},
		{"size of 20 digits", file(" size=18446744073709551617"), "size is not"},
		{"link without target", bare("type=link" + attrs), "link belongs"},
		{"empty target", bare("type=link" + attrs + " link="), "link target is empty"},
		{"long target", bare("type=link" + attrs + " link=" + strings.Repeat("t", 4096)), "link target"},
		{"raw target", bare("type=link" + attrs + " link=a=b"), "link: byte 0x3d"},
		{"file with target", file(" size=0 link=a"), "link belongs"},
		{"no device", bare("type=char" + attrs), "device belongs"},
		{"no device without data", noData("type=char" + attrs), "device belongs"},
		{"fifo with device", bare("type=fifo" + attrs + " device=native,1,2"), "device belongs"},
		{"device of NetBSD", bare("type=block" + attrs + " device=0x103"), "device is not"},
		{"device with subunit", bare("type=block" + attrs + " device=native,1,2,3"), "device is not"},
		{"large device", bare("type=block" + attrs + " device=native,1,4294967296"), "device is not"},

		{"unknown word", file(" size=0 flags=none"), `unknown keyword "flags"`},
		{"word of capitals", file(" size=0 Mode=0644"), "unknown keyword"},
		{"escaped word", file(` size=0 m\157de=0644`), "unknown keyword"},
		{"empty word", file(" size=0 =a"), `unknown keyword ""`},
		{"word twice", file(" size=0 mode=0644"), "mode appears twice"},
		{"lower with a value", file(" size=0 hardlink=./b lower=1"), "lower has a value"},
		{"lower with an empty value", file(" size=0 hardlink=./b lower="), "lower has a value"},
		{"size without a value", file(" size"), "size has no value"},
		{"x- without a name", file(" size=0 x-=1"), "unknown keyword"},
		{"x- without a value", file(" size=0 x-a"), "unknown keyword"},
		{"x- twice", file(` size=0 x-a=1 x-\141=1`), "x-a appears twice"},
		{"raw x- value", file(" size=0 x-a=1=2"), "must be written"},
		{"digest with data", file(" size=0 sha256digest=" + sum), "without data"},
		{"nlink with data", file(" size=0 nlink=1"), "without data"},
		{"short digest", noData("type=file" + attrs + " size=0 sha256digest=00"), "64 lower-case"},
		{"digest in capitals", noData("type=file" + attrs + " size=0 sha256digest=" + strings.ToUpper(sum)), "64 lower-case"},
		{"digest of a fifo", noData("type=fifo" + attrs + " sha256digest=" + sum), "belongs to files"},
		{"nlink", noData("type=fifo" + attrs + " nlink=x"), "nlink"},

		{"below a directory", file(" size=0 below=."), "hard link to a directory"},
		{"below of a directory", bare("type=dir" + attrs + " below=./a"), "hard link to a directory"},
		{"below nothing", file(" size=0 below="), "path does not begin"},
		{"below with an empty path", file(" size=0 below=./a,,./b"), "path does not begin"},
		{"below without a value", file(" size=0 below"), "below has no value"},
		{"below out of the root", file(" size=0 below=./a/../b"), "below: path component"},
		{"below 17 paths", file(" size=0 below=./a" + strings.Repeat(",./a", 16)), "below: over 16 paths"},
		{"below 16 paths and one", file(" size=0 hardlink=./b lower below=./a" + strings.Repeat(",./a", 15)), "over 16 paths"},
		{"lower alone", file(" size=0 lower"), "lower without hardlink"},
		{"lower with size", file(" size=1 hardlink=./b lower"), "of size 0"},
		{"lower fifo", bare("type=fifo" + attrs + " hardlink=./b lower"), "of size 0"},
		{"linked directory", dir(" hardlink=./b"), "hard link to a directory"},
		{"link to the root", file(" size=0 hardlink=."), "hard link to a directory"},
		{"unclean link", file(" size=0 hardlink=b"), "hardlink: path does not begin"},
		{"nochange of a file", file(" size=0 nochange"), "nochange belongs to directories"},
		{"nochange with attributes", dir(" nochange xattr.user.a="), "not the opaque mark"},
		{"nochange, not opaque", dir(" nochange xattr.trusted.overlay.opaque=eA=="), "not the opaque mark"},

		{"extents of a directory", dir(" extents=-"), "extents belong"},
		{"extents without data", noData("type=file" + attrs + " size=0 extents=-"), "extents belong"},
		{"no extents", file(" size=9 extents="), "OFFSET+LENGTH"},
		{"hyphen in the list", file(" size=9 extents=0+1,-"), "OFFSET+LENGTH"},
		{"comma behind", file(" size=9 extents=0+1,"), "OFFSET+LENGTH"},
		{"extent without length", file(" size=9 extents=5"), "OFFSET+LENGTH"},
		{"empty extent", file(" size=9 extents=0+0"), "empty, touch"},
		{"touching", file(" size=9 extents=0+1,1+1"), "empty, touch"},
		{"overlapping", file(" size=9 extents=0+5,4+1"), "empty, touch"},
		{"descending", file(" size=9 extents=5+1,0+1"), "empty, touch"},
		{"past the size", file(" size=9 extents=5+5"), "past the size"},
		{"far past the size", file(" size=9 extents=1+9223372036854775807"), "past the size"},

		{"xattr without name", dir(" xattr.=AA=="), "xattr name"},
		{"xattr without value", dir(" xattr.a"), "unknown keyword"},
		{"long xattr name", dir(" xattr." + strings.Repeat("n", 256) + "="), "xattr name"},
		{"raw xattr name", dir(" xattr.a#="), "must be written"},
		{"xattr twice", dir(` xattr.a=AA== xattr.\141=AA==`), "a appears twice"},
		{"base64", dir(" xattr.a=%"), "not base64"},
		{"base64 without padding", dir(" xattr.a=AA"), "not base64"},
		{"base64 with bits left", dir(" xattr.a=AB=="), "not base64"},
		{"base64 for URLs", dir(" xattr.a=__8="), "not base64"},
		{"base64 with CR", dir(" xattr.a=AA==\r"), "not base64"},
		{"long xattr", dir(" xattr.a=" + strings.Repeat("AAAA", 65536/3+1)), "xattr value over"},

		{"no line feed behind content", head + "./a type=file" + attrs + " size=1\nab" + end(1, 1), "no line feed"},
		{"end without counts", head + "#end \n", "malformed end"},
		{"end in another order", head + "#end bytes=0 records=0\n", "malformed end"},
		{"end with more", head + "#end records=0 bytes=0 crc32=00000000 x\n", "malformed end"},
		{"short crc", head + "#end records=0 bytes=0 crc32=0\n", "malformed end"},
		{"crc not hex", head + "#end records=0 bytes=0 crc32=0000000g\n", "malformed end"},
		{"records", head + root + end(2, 0), "counts 2 records and 0 bytes, the stream has 1 and 0"},
		{"bytes", head + root + end(1, 1), "counts 1 records and 1 bytes"},
		{"crc", head + "#end records=0 bytes=0 crc32=00000000\n", "CRC-32"},
		{"data after", head + end(0, 0) + "\n", "data after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := readAll(strings.NewReader(c.in), ReaderOptions{})
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestReaderInsists(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		opts           ReaderOptions
	}{
		{"no crc", head + end(0, 0), "end line has no CRC", ReaderOptions{RequireCRC: true}},
		{"no data", none + end(0, 0), "carries no contents", ReaderOptions{NeedData: true}},
		{"empty", "", "input is empty", ReaderOptions{}},
	} {
		if _, _, err := readAll(strings.NewReader(c.in), c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestReaderErrors checks that an error says where it happened, without the bytes
// that a hostile name would send to a terminal.
func TestReaderErrors(t *testing.T) {
	in := head + root + `./a\033[31m` + " type=fifo\n"
	in = strings.Replace(in, "[", `\133`, 1)
	_, _, err := readAll(strings.NewReader(in), ReaderOptions{})
	want := fmt.Sprintf(`record 2, before byte %d: not a valid tree stream: a\033[31m: mode is not`, len(in))
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error is %v, want %s", err, want)
	}
}
