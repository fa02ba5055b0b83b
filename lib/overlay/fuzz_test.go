package overlay

import (
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// Whatever an upper directory has, in lines "KIND PATH MARK...", it is refused, or becomes a
// layer without marks of overlayfs that can be applied to what is below.
func FuzzChanges(f *testing.F) {
	f.Add("d .\nd n redirect=/d origin=\nw d\nm n/f")
	f.Add("d .\nd d redirect=e/f opaque=y\nf a metacopy=\nd o opaque=x\nf o/x whiteout=")
	f.Add("d .\nm b redirect=/a\nd n redirect=/d\nd n/e redirect=/d/sub\nw n/f")
	f.Fuzz(func(t *testing.T, text string) {
		var upper []tree.Entry
		for line := range strings.Lines(text) {
			words := strings.Split(strings.TrimSuffix(line, "\n"), " ")
			if len(words) < 2 || words[0] == "" {
				return
			}
			path, marks := words[1], words[2:]
			switch words[0][0] {
			case 'd':
				upper = append(upper, dir(path, marks...))
			case 'w':
				upper = append(upper, whiteout(path))
			case 'm':
				upper = append(upper, metacopy(path, 1, marks...))
			default:
				upper = append(upper, file(path, "new", marks...))
			}
		}
		below := images(t, nil, source(dir("."), file("a", "A"), dir("d"), file("d/f", "F"), dir("d/sub"), file("d/sub/g", "G")))
		src, err := changes(source(upper...), nil, Options{Below: below})
		if err != nil {
			return
		}
		list := listing(t, src)
		if src, err = changes(source(upper...), nil, Options{Below: below}); err != nil {
			t.Fatal(err)
		}
		layer, err := tree.TakeLayer(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(list, "["+trustedPrefix) {
			t.Errorf("marks are left: %s", list)
		}
		if err := below.Tree.Apply(layer); err != nil {
			t.Errorf("%s: %v", list, err)
		}
	})
}
