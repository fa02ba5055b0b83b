package vmdk

import (
	"encoding/binary"
	"errors"
	"testing"
)

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name       string
		have, want int
	}{
		{"header", binary.Size(header{}), headerSize},
		{"GPT header", binary.Size(gptHeader{}), gptHeaderSize},
		{"GPT entry", binary.Size(gptEntry{}), gptEntrySize},
	} {
		if c.have != c.want {
			t.Errorf("%s has %d bytes, not %d", c.name, c.have, c.want)
		}
	}
}

// TestHeader: fields have the offsets that the format names.
func TestHeader(t *testing.T) {
	h := newHeader(5<<30, dirAtEnd)
	b := h.encode()
	le := binary.LittleEndian
	for _, c := range []struct {
		name       string
		have, want uint64
	}{
		{"capacity", le.Uint64(b[12:]), 5 << 30 / 512},
		{"grain", le.Uint64(b[20:]), 128},
		{"descriptor", le.Uint64(b[28:]), 1},
		{"table entries", uint64(le.Uint32(b[44:])), 512},
		{"directory", le.Uint64(b[56:]), dirAtEnd},
		{"newlines", uint64(le.Uint32(b[73:])), 0x0A0D200A},
		{"compression", uint64(le.Uint16(b[77:])), 1},
	} {
		if c.have != c.want {
			t.Errorf("%s is %#x, not %#x", c.name, c.have, c.want)
		}
	}
	again, err := decodeHeader(b)
	if err != nil || *again != *h {
		t.Errorf("%+v, %v; want %+v", again, err, h)
	}
	if n := h.tables(); n != 160 {
		t.Errorf("%d tables", n)
	}
}

func TestHeaderRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*header)
		want  error
	}{
		{"magic", func(h *header) { h.Magic++ }, ErrCorrupt},
		{"version 0", func(h *header) { h.Version = 0 }, ErrUnsupported},
		{"version 4", func(h *header) { h.Version = 4 }, ErrUnsupported},
		{"newlines", func(h *header) { h.Newlines = [4]byte{'\n', ' ', '\n', '\n'} }, ErrCorrupt},
		{"not compressed", func(h *header) { h.Flags &^= flagCompressed }, ErrUnsupported},
		{"no markers", func(h *header) { h.Flags &^= flagMarkers }, ErrUnsupported},
		{"unknown flag", func(h *header) { h.Flags |= 4 }, ErrUnsupported},
		{"compression", func(h *header) { h.Compression = 2 }, ErrUnsupported},
		{"no capacity", func(h *header) { h.Capacity = 0 }, ErrUnsupported},
		{"huge", func(h *header) { h.Capacity = maxCapacity/SectorSize + 1 }, ErrUnsupported},
		{"small grain", func(h *header) { h.Grain = 4 }, ErrUnsupported},
		{"odd grain", func(h *header) { h.Grain = 96 }, ErrUnsupported},
		{"large grain", func(h *header) { h.Grain = 4096 }, ErrUnsupported},
		{"table", func(h *header) { h.TableEntries = 1024 }, ErrUnsupported},
		{"text", func(h *header) { h.TextSize = 2049 }, ErrUnsupported},
		{"unclean", func(h *header) { h.Unclean = 1 }, ErrCorrupt},
	} {
		h := newHeader(grainSize, dirAtEnd)
		c.spoil(h)
		if _, err := decodeHeader(h.encode()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := decodeHeader(make([]byte, 100)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("short: %v", err)
	}
}
