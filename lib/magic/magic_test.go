package magic_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"ocipipe/lib/magic"
)

// at returns data that holds text at off, after zeros.
func at(off int, text string) string {
	return strings.Repeat("\x00", off) + text + strings.Repeat("\x00", 64)
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		head string
		kind magic.Kind
	}{
		{"", magic.Empty},
		{at(1024, "\xe2\xe1\xf5\xe0"), magic.EROFS},
		{at(1080, "\x53\xef"), magic.Ext4},
		{at(512, "EFI PART"), magic.GPT},
		{at(257, "ustar"), magic.Tar},
		{"KDMV\x01\x00", magic.VMDK},
		{"# Disk DescriptorFile\nversion=1\n", magic.VMDK},
		{"QFI\xfb\x00", magic.QCOW2},
		{"#mtree ocipipe-tree 1 data=inline\n", magic.Tree},
		{"#mtree\n./a type=file\n", magic.Mtree},
		{"PK\x03\x04\x14", magic.Zip},
		{"070701000", magic.Cpio},
		{"\x7fELF\x02", magic.ELF},
		{"#!/bin/sh\n", magic.Script},
		{"%PDF-1.4\n\xe2\xe3", magic.PDF},
		{"\x1f\x8b\x08\x00", magic.Compressed("gzip")},
		{"\x28\xb5\x2f\xfd\x04", magic.Compressed("zstd")},
		{"\xfd7zXZ\x00\x00", magic.Compressed("xz")},
		{" <!DOCTYPE html>", magic.HTML},
		{"\n{\"a\": 1}", magic.JSON},
		{"[]", magic.JSON},
		{"{\n}", magic.JSON},
		{"[\n  -1", magic.JSON},
		{"[section]\nname = 1\n", magic.Text},
		{"{a: 1}\n", magic.Text},
		{"hello, wörld\n", magic.Text},
		{strings.Repeat("a", magic.HeadSize-1) + "\xc3", magic.Text}, // half of a character
		{strings.Repeat("a", magic.HeadSize-3) + "\xf0\x9f\x98", magic.Text},
		{strings.Repeat("a", magic.HeadSize-4) + "\xff\xff\xff\xff", magic.Unknown},
		{strings.Repeat("a", magic.HeadSize) + "\x00", magic.Text}, // more than the head
		{strings.Repeat("a", 100) + "\xc3", magic.Unknown},
		{"hello\x00", magic.Unknown},
		{"etc/passwd", magic.Unknown}, // a tar that is cut short
		{strings.Repeat("etc/", 25), magic.Text},
		{" \n", magic.Unknown},
		{strings.Repeat("\x00", magic.HeadSize), magic.Unknown},
		{"\xe2\xe1\xf5\xe0", magic.Unknown},
		{strings.Repeat("\x00", 1026), magic.Unknown},
	} {
		if got := magic.Detect([]byte(c.head)); got != c.kind {
			t.Errorf("%.40q: %q, expected %q", c.head, got, c.kind)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		head string
		want magic.Kind
		text string
	}{
		{"#!/bin/sh", magic.Tree, "is a script, not a tree stream"},
		{"\x1f\x8b\x08\x00", magic.EROFS, "is compressed with gzip, not an EROFS image"},
		{"", magic.Tree, "the input is empty"},
		{"\xff\xfe", magic.Tree, "EOF"},
		{"#mtree ocipipe-tree 1", magic.Tree, "EOF"},
	} {
		err := magic.Explain(io.EOF, []byte(c.head), c.want)
		if err.Error() != c.text || !errors.Is(err, io.EOF) {
			t.Errorf("%q: %v, expected %q", c.head, err, c.text)
		}
	}
	if err := magic.ExplainFile(io.EOF, strings.NewReader("#!/bin/sh"), magic.Tree); err.Error() != "is a script, not a tree stream" {
		t.Error(err)
	}
	if err := magic.ExplainFile(io.EOF, unreadable{}, magic.Tree); err != io.EOF {
		t.Error(err)
	}
	if err := magic.Explain(io.EOF, []byte("#!"), "a list", magic.Text, magic.Script); err != io.EOF {
		t.Error("a script, which can be a list:", err)
	}
	if err := magic.Explain(nil, []byte("#!"), magic.Tree); err != nil {
		t.Error("no error became", err)
	}
}

type unreadable struct{}

func (unreadable) ReadAt([]byte, int64) (int, error) { return 2, errors.New("no") }

func FuzzDetect(f *testing.F) {
	f.Add([]byte("#mtree"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, head []byte) { magic.Detect(head) })
}
