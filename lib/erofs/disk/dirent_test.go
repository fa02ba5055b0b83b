package disk

import (
	"bytes"
	"testing"
)

// TestDirentEncode writes every byte of the record, whatever the buffer held.
func TestDirentEncode(t *testing.T) {
	want := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0}
	got := bytes.Repeat([]byte{0xff}, DirentSize)
	Dirent{Nid: 0x0807060504030201, Name: 0x0a09, Kind: 11}.Encode(got)
	if !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
