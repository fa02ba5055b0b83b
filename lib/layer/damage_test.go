package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layer"
)

// sample is a tar of several kinds of entries.
func sample(t testing.TB) []byte {
	return tarOf(t, parseStack("dir d; file d/f #5; file d/g #4; sym s -> d; hard h -> d/f; .wh.x")[0])
}

// TestTruncated cuts a tar at every block and in between (P34).
func TestTruncated(t *testing.T) {
	whole := sample(t)
	want, err := readAll(t, whole, layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	archive := len(whole) - 1024 // without its end
	for n := range whole {
		if n%512 > 2 && n%512 < 510 && n%97 != 0 {
			continue
		}
		_, err := readAll(t, whole[:n], layer.Options{})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d of %d: %v", n, len(whole), err)
		}
		if n > 0 && !strings.Contains(err.Error(), "cut short at byte ") {
			t.Errorf("cut at %d: %v", n, err)
		}
		// A diff-id tells as well.
		if _, err := readAll(t, whole[:n], layer.Options{DiffID: digest.FromBytes(whole)}); err == nil {
			t.Fatalf("cut at %d of %d: accepted with the diff-id of the whole", n, len(whole))
		}
		// Nothing saves a cut entry.
		opts := layer.Options{AllowUnterminated: true}
		got, err := readAll(t, whole[:n], opts)
		if boundary := entryEnd(t, whole, n); (err == nil) != (n >= archive && n%512 == 0 || boundary) {
			t.Errorf("cut at %d with AllowUnterminated: %v", n, err)
		}
		if n == archive && (got != want || err != nil) {
			t.Errorf("without its end: %s, %v", got, err)
		}
	}
	// A diff-id vouches for a tar without its end.
	for _, n := range []int{archive, archive + 512} {
		got, err := readAll(t, whole[:n], layer.Options{DiffID: digest.FromBytes(whole[:n])})
		if got != want || err != nil {
			t.Errorf("%d bytes with their diff-id: %s, %v", n, got, err)
		}
	}
	// Without end blocks, but with a part of one.
	if _, err := readAll(t, whole[:archive+100], layer.Options{DiffID: digest.FromBytes(whole[:archive+100])}); err == nil {
		t.Error("a part of a block at the end is accepted")
	}
}

// entryEnd reports whether an entry, with the padding of its data and headers of
// its own before it, ends at byte n of the tar.
func entryEnd(t *testing.T, whole []byte, n int) bool {
	t.Helper()
	in := bytes.NewReader(whole)
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if err != nil {
			return n == 0
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		end := len(whole) - in.Len()
		if h.Size > 0 && end%512 != 0 {
			end += 512 - end%512
		}
		if end == n || n == 0 {
			return true
		}
	}
}

func TestFlippedBytes(t *testing.T) {
	whole := sample(t)
	id := digest.FromBytes(whole)
	for i := 0; i < len(whole); i += 7 {
		bad := slices.Clone(whole)
		bad[i] ^= 0x10
		if _, err := readAll(t, bad, layer.Options{DiffID: id}); err == nil {
			t.Fatalf("byte %d changed: accepted with a diff-id", i)
		}
	}
}

// TestNoPadding has a tar that ends with the data of its last file, as umoci insert
// writes them: a tar without its end, and not one that is cut.
func TestNoPadding(t *testing.T) {
	data := rawTar(raw{name: "a", data: "12345"})[:512+5]
	for _, c := range []struct {
		opts layer.Options
		want string // in the error
	}{
		{layer.Options{DiffID: digest.FromBytes(data)}, ""},
		{layer.Options{AllowUnterminated: true}, ""},
		{layer.Options{}, "layer is cut short at byte 517 of the tar: it has no end-of-archive blocks"},
		{layer.Options{DiffID: digest.FromBytes(nil)}, "diff-id is "},
		{layer.Options{Piped: true}, "no end-of-archive blocks (see the message of the stage that wrote it)"},
	} {
		got, err := readAll(t, data, c.opts)
		if c.want == "" && (err != nil || !strings.Contains(got, "12345")) {
			t.Errorf("%+v: %q, %v", c.opts, got, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.opts, err, c.want)
		}
	}
	if _, err := readAll(t, data[:516], layer.Options{AllowUnterminated: true}); err == nil {
		t.Error("a file without its last byte is accepted")
	}
	if _, err := readAll(t, append(data[:517:517], 0), layer.Options{AllowUnterminated: true}); err == nil {
		t.Error("a part of the padding is accepted")
	}
}
