package interop

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"path"
	"sort"
	"strconv"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

// facts runs the shell line and reads the stream that it writes, as
// lib/tree/FORMAT.md describes it, into what Walk sees of the same tree on disk.
func facts(t *testing.T, dir, line string) (facts []reftest.Fact) {
	t.Helper()
	cmd, errs := command(t, dir, line)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	facts, err = readStream(bufio.NewReaderSize(out, 1<<20))
	io.Copy(io.Discard, out)
	if failed := cmd.Wait(); failed != nil || errs.Len() > 0 || err != nil {
		t.Fatalf("%s: %v, %v\n%s", line, err, failed, errs)
	}
	nameGroups(facts)
	return facts
}

func readStream(in *bufio.Reader) (facts []reftest.Fact, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = line[:len(line)-1]
		if strings.HasPrefix(line, "#end ") {
			return facts, nil
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		f, err := parseRecord(line)
		if err == nil && f.Type == "file" && f.SameAs == f.Path {
			f.Sum, err = readPayload(in, f)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		f.Extents = ""
		facts = append(facts, f)
	}
}

// readPayload returns the digest of the content, holes as zeros.
func readPayload(in *bufio.Reader, f reftest.Fact) (string, error) {
	h := sha256.New()
	extents := f.Extents
	switch extents {
	case "":
		extents = fmt.Sprintf("0+%d", f.Size)
	case "-":
		extents = "0+0"
	}
	end, payload := int64(0), int64(0)
	for _, extent := range strings.Split(extents, ",") {
		var off, n int64
		if _, err := fmt.Sscanf(extent, "%d+%d", &off, &n); err != nil {
			return "", err
		}
		io.CopyN(h, zeros{}, off-end)
		if _, err := io.CopyN(h, in, n); err != nil {
			return "", err
		}
		end, payload = off+n, payload+n
	}
	io.CopyN(h, zeros{}, f.Size-end)
	if payload > 0 {
		if lf, err := in.ReadByte(); err != nil || lf != '\n' {
			return "", fmt.Errorf("payload ends in %q, %v", lf, err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func parseRecord(line string) (f reftest.Fact, err error) {
	words := strings.Split(line, " ")
	name, err := unescape(words[0])
	if err != nil {
		return f, err
	}
	f.Path = path.Clean(name)
	f.SameAs = f.Path
	for _, word := range words[1:] {
		if err := parseWord(&f, word); err != nil {
			return f, fmt.Errorf("%s: %w", word, err)
		}
	}
	if f.Type == "link" {
		f.Size = int64(len(f.Link))
	}
	return f, nil
}

func parseWord(f *reftest.Fact, word string) (err error) {
	key, value, _ := strings.Cut(word, "=")
	var n uint64
	switch key {
	case "type":
		f.Type = value
	case "mode":
		n, err = strconv.ParseUint(value, 8, 32)
		f.Mode = reftest.Octal(n)
	case "uid":
		n, err = strconv.ParseUint(value, 10, 32)
		f.UID = uint32(n)
	case "gid":
		n, err = strconv.ParseUint(value, 10, 32)
		f.GID = uint32(n)
	case "time":
		f.Time = value
	case "size":
		f.Size, err = strconv.ParseInt(value, 10, 64)
	case "link":
		f.Link, err = unescape(value)
	case "device":
		f.Dev = strings.ReplaceAll(strings.TrimPrefix(value, "native,"), ",", ":")
	case "hardlink":
		f.SameAs, err = unescape(value)
		f.SameAs = path.Clean(f.SameAs)
	case "extents":
		f.Extents = value
	default:
		escaped, ok := strings.CutPrefix(key, "xattr.")
		if !ok {
			return fmt.Errorf("unknown")
		}
		if f.Xattrs == nil {
			f.Xattrs = reftest.Xattrs{}
		}
		name, err := unescape(escaped)
		if err != nil {
			return err
		}
		b, err := base64.StdEncoding.DecodeString(value)
		f.Xattrs[name] = string(b)
		return err
	}
	return err
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i+4 > len(s) {
			return "", fmt.Errorf("escape at the end of %q", s)
		}
		n, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
		if err != nil {
			return "", err
		}
		b.WriteByte(byte(n))
		i += 3
	}
	return b.String(), nil
}

// nameGroups sets what Walk sets of hard links: the number of names, and the one
// that comes first in the order of filepath.WalkDir.
func nameGroups(facts []reftest.Fact) {
	names := map[string][]int{}
	for i, f := range facts {
		if f.Type != "dir" {
			names[f.SameAs] = append(names[f.SameAs], i)
		}
	}
	for _, group := range names {
		sort.Slice(group, func(i, j int) bool { return walkedBefore(facts[group[i]].Path, facts[group[j]].Path) })
		for _, i := range group {
			facts[i].Nlink = uint64(len(group))
			facts[i].SameAs = facts[group[0]].Path
			facts[i].Sum = facts[group[0]].Sum
		}
	}
}

// walkedBefore compares component by component: "a/b" comes before "a.b".
func walkedBefore(a, b string) bool {
	return strings.ReplaceAll(a, "/", "\x00") < strings.ReplaceAll(b, "/", "\x00")
}
