package layer_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/compression"
	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
)

func gzipped(t testing.TB, pieces ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, p := range pieces {
		w := gzip.NewWriter(&b)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func zstdFrames(t testing.TB, pieces ...[]byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var b []byte
	for _, p := range pieces {
		b = w.EncodeAll(p, b)
	}
	return b
}

func skippable(n int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0x184d2a53)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	return append(b, make([]byte, n)...)
}

func TestCompressions(t *testing.T) {
	whole := sample(t)
	id := digest.FromBytes(whole)
	want, err := readAll(t, whole, layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := whole[:1000], whole[1000:]
	for name, data := range map[string][]byte{
		"gzip":                          gzipped(t, whole),
		"gzip of several members":       gzipped(t, a, nil, b),
		"zstd":                          zstdFrames(t, whole),
		"zstd of several frames":        zstdFrames(t, a, b),
		"zstd with skippable frames":    slices.Concat(skippable(0), skippable(100), zstdFrames(t, a), skippable(7), zstdFrames(t, b), skippable(3)),
		"plain":                         whole,
		"gzip with the end on its own":  gzipped(t, whole[:len(whole)-1024], whole[len(whole)-1024:]),
		"gzip that begins with nothing": gzipped(t, nil, whole),
	} {
		for _, in := range []io.Reader{bytes.NewReader(data), oneByte{bytes.NewReader(data)}} {
			got, err := readFrom(t, in, layer.Options{DiffID: id})
			if err != nil || got != want {
				t.Errorf("%s: %s, %v", name, got, err)
			}
		}
	}
}

// oneByte hands out a byte at a time.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }

func TestInteropCompressors(t *testing.T) {
	whole := sample(t)
	want, err := readAll(t, whole, layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ tool, args, refused string }{
		{"gzip", "-9", ""}, {"gzip", "-1", ""}, {"pigz", "-i", ""}, {"zstd", "-19", ""}, {"zstd", "--long=27", ""}, {"zstd", "--no-check", ""},
		{"xz", "-0", "xz"}, {"bzip2", "-1", "bzip2"},
	} {
		t.Run(c.tool+" "+c.args, func(t *testing.T) {
			data, err := reftest.TryInput(t, whole, c.tool, c.args, "-c")
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(t, []byte(data), layer.Options{})
			if c.refused != "" {
				var unread *compression.Error
				if !errors.As(err, &unread) || unread.Name != c.refused {
					t.Errorf("%v, want %s", err, c.refused)
				}
			} else if err != nil || got != want {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

// TestCutCompressed cuts compressed layers at every byte.
func TestCutCompressed(t *testing.T) {
	whole := sample(t)
	for name, data := range map[string][]byte{
		"gzip": gzipped(t, whole[:700], whole[700:]), "zstd": zstdFrames(t, whole[:700], whole[700:]),
	} {
		step := max(1, len(data)/150)
		for n := 1; n < len(data); n += step {
			_, err := readAll(t, data[:n], layer.Options{})
			if err == nil {
				t.Fatalf("%s cut at %d of %d: accepted", name, n, len(data))
			}
			if n > 6 && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut at %d of %d: %v", name, n, len(data), err)
			}
		}
	}
}

// TestFlippedCompressed changes bytes of compressed layers.
func TestFlippedCompressed(t *testing.T) {
	whole := sample(t)
	for name, data := range map[string][]byte{"gzip": gzipped(t, whole), "zstd": zstdFrames(t, whole)} {
		accepted := 0
		for i := range data {
			bad := slices.Clone(data)
			bad[i] ^= 0x40
			// With a diff-id nothing passes that is not the same tar.
			if _, err := readAll(t, bad, layer.Options{DiffID: digest.FromBytes(whole)}); err == nil {
				accepted++ // time and system in gzip's header, say
			}
		}
		if accepted > 10 {
			t.Errorf("%s: %d changes of %d are not noticed", name, accepted, len(data))
		}
	}
}

func TestTrailingData(t *testing.T) {
	whole := sample(t)
	for name, data := range map[string][]byte{
		"gzip": slices.Concat(gzipped(t, whole), []byte("garbage")),
		"zstd": slices.Concat(zstdFrames(t, whole), []byte("garbage")),
	} {
		_, err := readAll(t, data, layer.Options{})
		if !errors.Is(err, layer.ErrCorrupt) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s with garbage behind: %v", name, err)
		}
	}
}

// failing gives some bytes, then its error.
type failing struct {
	r   io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

// TestReaderBelowFails expects the error of the input, whatever lies between.
func TestReaderBelowFails(t *testing.T) {
	cause := errors.New("connection reset")
	whole := sample(t)
	for name, data := range map[string][]byte{"plain": whole, "gzip": gzipped(t, whole), "zstd": zstdFrames(t, whole)} {
		for _, n := range []int{0, 3, 10, len(data) / 2, len(data) - 1, len(data)} {
			_, err := readFrom(t, failing{bytes.NewReader(data[:n]), cause}, layer.Options{})
			if !errors.Is(err, cause) || errors.Is(err, layer.ErrCorrupt) {
				t.Errorf("%s, after %d of %d bytes: %v", name, n, len(data), err)
			}
		}
	}
}
