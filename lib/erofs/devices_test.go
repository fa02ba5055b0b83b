package erofs

import (
	"bytes"
	"strings"
	"testing"

	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/tree"
)

func TestCheckDevices(t *testing.T) {
	layers := layersOf(t, Options{}, []tree.Entry{file("a", pattern(1, 600))}, []tree.Entry{file("b", pattern(2, 600))}, []tree.Entry{file("c", pattern(3, 600))})
	ids := func(order ...int) (list []LayerID) {
		for _, i := range order {
			id := LayerID{Name: "layer " + string(rune('a'+max(0, i)))}
			if i >= 0 {
				id.UUID = layers[i].Image.UUID()
			}
			list = append(list, id)
		}
		return list
	}
	const unknown = -1
	table := fsmeta(t, Options{}, layers[:2]...)
	plain := fsmeta(t, Options{NoDeviceTable: true}, layers[:2]...)
	for _, c := range []struct {
		name   string
		b      []byte
		layers []LayerID
		want   string
	}{
		{"table", table, ids(0, 1), ""},
		{"table, one unknown", table, ids(unknown, 1), ""},
		{"table, other order", table, ids(1, 0), "its device 0 is not the image of layer b"},
		{"table, another", table, ids(unknown, 2), "its device 1 is not the image of layer c"},
		{"table, too few", table, ids(0), "has 2 devices for 1 layers"},
		{"table, too many", table, ids(0, 1, unknown), "has 2 devices for 3 layers"},
		{"sum", plain, ids(0, 1), ""},
		{"sum, one unknown", plain, ids(0, unknown), ""},
		{"sum, other order", plain, ids(1, 0), "not the images of the layers"},
		{"sum, another", plain, ids(0, 2), "not the images of the layers"},
		{"sum, too few", plain, ids(0), "not the images of the layers"},
		{"neither", build(t, Options{}, file("a", pattern(1, 600))), ids(0), "does not say which layers"},
		{"no layers", fsmeta(t, Options{}, []merge.Layer{}...), nil, ""},
		{"no image", make([]byte, 4096), ids(0), "no EROFS superblock"},
		{"cut in the head", table[:1100], ids(0, 1), "EOF"},
		{"cut in the table", table[:1200], ids(0, 1), "EOF"},
	} {
		err := CheckDevices(bytes.NewReader(c.b), c.layers)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
