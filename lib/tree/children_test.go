package tree

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestChildren does to a directory what it does to a map, around the size at which one
// becomes the other.
func TestChildren(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []string
	for name := range 4 * maxFew {
		all = append(all, fmt.Sprint(name))
	}
	slices.Sort(all)
	for round := range 200 {
		dir, want := &Node{}, map[string]*Node{}
		for i := range 100 {
			c := &Node{name: all[rnd.IntN(len(all))]}
			if round%2 == 1 && rnd.IntN(20) > 0 {
				c.name = all[i%len(all)] // mostly in order
			}
			switch rnd.IntN(9 + 20*(round%2)) {
			case 0:
				dir.children.remove(c.name)
				delete(want, c.name)
			case 2:
				settled, sorted := dir.SortedChildren(), dir.Children()
				if !slices.Equal(settled, sorted) || len(settled) != len(want) {
					t.Fatalf("settled %v, want %v", settled, sorted)
				}
			case 1:
				dir.children.removeAll(func(c *Node) bool { return c.name < "3" })
				maps.DeleteFunc(want, func(name string, _ *Node) bool { return name < "3" })
			default:
				dir.set(c)
				want[c.name] = c
			}
			if got := slices.Collect(dir.children.all()); len(got) != len(want) || dir.children.len() != len(want) {
				t.Fatalf("%d, yields %d, want %d", dir.children.len(), len(got), len(want))
			}
			for name := range 4 * maxFew {
				if name := fmt.Sprint(name); dir.Child(name) != want[name] {
					t.Fatalf("%s: %v", name, dir.Child(name))
				}
			}
			var names []string
			for _, c := range dir.Children() {
				names = append(names, c.name)
			}
			if sorted := slices.Sorted(maps.Keys(want)); !slices.Equal(names, sorted) {
				t.Fatalf("%q, want %q", names, sorted)
			}
		}
	}
}

// TestChildrenInOrder has no map for names that come in byte order, or nearly.
func TestChildrenInOrder(t *testing.T) {
	dir := &Node{}
	for i := range 1000 {
		dir.set(&Node{name: fmt.Sprintf("%04d", i^7)})
	}
	if dir.children.many != nil || !slices.IsSortedFunc(dir.children.list, func(a, b *Node) int { return strings.Compare(a.name, b.name) }) {
		t.Errorf("%d names in the slice, %d in the map", len(dir.children.list), len(dir.children.many))
	}
	for i := range 1000 {
		if name := fmt.Sprintf("%04d", i); dir.Child(name) == nil || dir.Child(name+"a") != nil {
			t.Fatal(name)
		}
	}
}

// TestSizes are those that the bound on memory for an entry is made of: up to which the
// allocator has a class of its own.
func TestSizes(t *testing.T) {
	if entry, node := reflect.TypeFor[Entry]().Size(), reflect.TypeFor[Node]().Size(); entry > 176 || node > 32 {
		t.Errorf("an Entry takes %d bytes, a Node %d", entry, node)
	}
}
