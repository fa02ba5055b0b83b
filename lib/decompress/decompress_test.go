package decompress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/compression"
)

func TestNew(t *testing.T) {
	text := []byte(strings.Repeat("some text ", 1000))
	var gz, zs bytes.Buffer
	for range 2 { // members, and frames
		g := gzip.NewWriter(&gz)
		g.Write(text)
		z, err := zstd.NewWriter(&zs)
		if err != nil {
			t.Fatal(err)
		}
		z.Write(text)
		if err := errors.Join(g.Close(), z.Close()); err != nil {
			t.Fatal(err)
		}
	}
	twice := append(bytes.Clone(text), text...)
	for _, c := range []struct {
		data, want []byte
		kind       compression.Kind
	}{
		{gz.Bytes(), twice, compression.Gzip},
		{zs.Bytes(), twice, compression.Zstd},
		{text, text, compression.Plain},
		{[]byte("short"), []byte("short"), compression.Plain},
		{nil, nil, compression.Plain},
	} {
		s, err := New(context.Background(), iotest.OneByteReader(bytes.NewReader(c.data)), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, c.want) || s.Kind != c.kind || (s.Gzip != nil) != (c.kind == compression.Gzip) {
			t.Errorf("%s: %d bytes of %d, as %s: %v", c.kind, len(got), len(c.want), s.Kind, err)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Errorf("%s: %v", c.kind, err)
		}
		if len(c.data) > 100 && c.kind != compression.Plain {
			s, err := New(context.Background(), bytes.NewReader(c.data[:len(c.data)-9]), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(s); err == nil {
				t.Errorf("%s: cut short and passes", c.kind)
			}
			s.Close()
		}
	}
}

func TestNewFails(t *testing.T) {
	if _, err := New(context.Background(), strings.NewReader("\xfd7zXZ\x00 and more"), nil); !errors.As(err, new(*compression.Error)) {
		t.Errorf("xz: %v", err)
	}
	broken := errors.New("broken")
	if _, err := New(context.Background(), iotest.ErrReader(broken), nil); err != broken {
		t.Errorf("an error of the reader below: %v", err)
	}
}
