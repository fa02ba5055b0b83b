package layer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// namesIn reads a layer without asking for any content.
func namesIn(data []byte, opts layer.Options) (names []string, err error) {
	src, err := layer.NewReader(bytes.NewReader(data), opts)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	for {
		e, err := src.Next()
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return names, err
		}
		names = append(names, e.Path)
	}
}

// TestSkipHuge has entries of as many bytes as a number can say, which are passed
// over, and a header behind them that must stay part of them.
func TestSkipHuge(t *testing.T) {
	oldGNU := func(size string) raw {
		n := size // one piece, as large as the file
		return raw{kind: 'S', magic: "ustar  \x00", name: "f", size: size, prefix: strings.Repeat("\x00", 41) +
			base256(0, 12) + n + strings.Repeat("\x00", 72) + "\x00" + n}
	}
	for n := int64(1)<<62 - 1; n > 0; n = n<<1 | 1 { // both numbers that have only ones
		for _, size := range []int64{n, n - 1, n - 510, n - 511, n - 512, n - 1022, n - 1023, n - 1024} {
			b, text := base256(size, 12), fmt.Sprint(size)
			for name, headers := range map[string][]raw{
				"file":                {{name: "f", size: b}},
				"file, size from pax": {pax("size", text), {name: "f"}},
				"V7 file":             {{kind: 'V', name: "f", size: b}},
				"contiguous file":     {{kind: '7', name: "f", size: b}},
				"old GNU sparse":      {oldGNU(b)},
				"pax sparse 0.0":      {pax("GNU.sparse.size", text, "GNU.sparse.numblocks", "1", "GNU.sparse.offset", "0", "GNU.sparse.numbytes", text), {name: "f", size: b}},
				"pax sparse 0.1":      {pax("GNU.sparse.size", text, "GNU.sparse.map", "0,"+text), {name: "f", size: b}},
				"pax sparse 1.0": {pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", text),
					{name: "f", size: b, data: fmt.Sprintf("1\n0\n%d\n", size-512) + strings.Repeat("\x00", 512)[:512-5-len(fmt.Sprint(size-512))]}},
				"whiteout":             {{name: ".wh.f", size: b}},
				"whiteout, contiguous": {{kind: '7', name: "d/.wh.f", size: b}},
				"whiteout, sparse":     {pax("GNU.sparse.size", text, "GNU.sparse.map", "0,"+text), {name: ".wh.f", size: b}},
				"opaque marker":        {{name: "d/.wh..wh..opq", size: b}},
				"aufs":                 {{name: ".wh..wh.aufs", size: b}},
				"aufs, below":          {{name: ".wh..wh.orph/x", size: b}},
			} {
				data := rawTar(append(slices.Clone(headers), raw{name: "hidden"})...)
				names, err := namesIn(data, layer.Options{AllowZeroDevice: true})
				if !errors.Is(err, io.ErrUnexpectedEOF) || slices.Contains(names, "hidden") {
					t.Errorf("%s of %d bytes: %q, %v", name, size, names, err)
				}
			}
			for name, h := range map[string]raw{
				"long name":     {kind: 'L', name: "x", size: b},
				"long link":     {kind: 'K', name: "x", size: b},
				"pax":           {kind: 'x', name: "x", size: b},
				"global pax":    {kind: 'g', name: "x", size: b},
				"unknown":       {kind: 'Q', name: "x", size: b},
				"GNU directory": {kind: 'D', name: "x", size: b},
			} {
				names, err := namesIn(rawTar(h, raw{name: "hidden"}), layer.Options{})
				if err == nil || len(names) > 0 {
					t.Errorf("%s of %d bytes: %q, %v", name, size, names, err)
				}
			}
		}
	}
}

// TestSkipNothing has types without data whose headers may name a size. As in archive/tar
// the next header follows at once.
func TestSkipNothing(t *testing.T) {
	for name, h := range map[string]raw{
		"hard link":            {kind: '1', name: "a", link: "next"},
		"symbolic link":        {kind: '2', name: "a", link: "next"},
		"directory":            {kind: '5', name: "a"},
		"device":               {kind: '3', name: "a", minor: "1"},
		"dropped device":       {kind: '3', name: "a"},
		"pipe":                 {kind: '6', name: "a"},
		"whiteout, hard link":  {kind: '1', name: ".wh.a", link: "next"},
		"whiteout, directory":  {kind: '5', name: ".wh.a"},
		"opaque, symlink":      {kind: '2', name: ".wh..wh..opq", link: "x"},
		"directory of aufs":    {kind: '5', name: ".wh..wh.plnk"},
		"link to aufs, hidden": {kind: '1', name: ".wh..wh.orph/x", link: "next"},
	} {
		for _, size := range []int64{1, 512, 1 << 40, 1<<63 - 1} {
			h.size = base256(size, 12)
			names, err := namesIn(rawTar(h, raw{name: "next"}), layer.Options{AllowZeroDevice: true})
			if err != nil || !slices.Contains(names, "next") {
				t.Errorf("%s of %d bytes: %q, %v", name, size, names, err)
			}
		}
	}
}

// TestSkipLimited stops at a file over the limit and does not read it.
func TestSkipLimited(t *testing.T) {
	data := rawTar(raw{name: "f", size: base256(1<<63-1, 12)}, raw{name: "hidden"})
	src, err := layer.NewReader(bytes.NewReader(data), layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	_, err = tree.Limit(src, tree.Limits{FileSize: 1 << 40}).Next()
	if limit := (*tree.LimitError)(nil); !errors.As(err, &limit) {
		t.Error(err)
	}
}
