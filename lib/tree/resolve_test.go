package tree

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

// plainResolve is ResolveDir as one would write it down: a text in which each link is
// replaced by its target.
func plainResolve(t *Tree, path string) (string, error) {
	var place []string
	var link string
	behind, links, text := 0, 0, 0
	for rest := path; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		at := New().root
		switch name {
		case "", ".":
		case "..":
			place = place[:max(0, len(place)-1)]
		default:
			if at = t.Lookup(strings.Join(append([]string{"."}, place...), "/")[min(2, 2*len(place)):]); at != nil {
				at = at.Child(name)
			}
			if at == nil || at.Entry.Type != Link {
				place = append(place, name)
				break
			}
			if links, text = links+1, text+len(at.Entry.Link); links > maxLinks || text > maxLinkText {
				return "", errors.New("too long")
			}
			if link == "" {
				link, behind = strings.TrimSuffix(path[:len(path)-len(rest)], "/"), len(rest)
			}
			if at.Entry.Link[0] == '/' {
				place = nil
			}
			rest = at.Entry.Link + "/" + rest
		}
		if link == "" || len(rest) > behind {
			continue
		}
		link = ""
		for i := range place {
			if n := t.Lookup(strings.Join(place[:i+1], "/")); n != nil && n.Entry.Type != Dir {
				return "", &NotDirError{}
			}
		}
	}
	if len(place) == 0 {
		return ".", nil
	}
	return strings.Join(place, "/"), nil
}

// TestResolvePlain compares ways through random trees, which change between them.
func TestResolvePlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	component := func(dots bool) string {
		if dots && rng.IntN(3) == 0 {
			return []string{"..", ".", "", "..", "../.."}[rng.IntN(5)]
		}
		return string(rune('a' + rng.IntN(5)))
	}
	components := func(dots bool) string {
		var list []string
		for range 1 + rng.IntN(4) {
			list = append(list, component(dots))
		}
		return strings.Join(list, "/")
	}
	outcome := map[string]int{}
	for range 2000 {
		tr := New()
		for range 25 {
			e := Entry{Path: components(false), Type: Dir}
			switch kind := rng.IntN(9); {
			case kind < 3:
				e.Type, e.Link = Link, strings.Repeat("/", rng.IntN(2))+components(true)
				if e.Link == "" {
					e.Link = "."
				}
			case kind < 6:
				e.Type = File
			}
			if _, err := tr.Put(&e); err != nil {
				t.Fatal(err)
			}
			path := components(false)
			got, err := tr.ResolveDir(path)
			want, wantErr := plainResolve(tr, path)
			isNot, wantNot := errors.As(err, new(*NotDirError)), errors.As(wantErr, new(*NotDirError))
			if got != want || (err == nil) != (wantErr == nil) || isNot != wantNot {
				t.Fatalf("%s: %s, %v, want %s, %v; of %q", path, got, err, want, wantErr, list(t, tr, Flat))
			}
			switch {
			case isNot:
				outcome["no directory"]++
			case err != nil:
				outcome["error"]++
			case got != path:
				outcome["elsewhere"]++
			}
		}
	}
	for _, what := range []string{"no directory", "error", "elsewhere"} {
		if outcome[what] < 200 {
			t.Errorf("%d ways of the kind %q", outcome[what], what)
		}
	}
}

// maze has a link, as long a way off as a path may go, of which the name is returned.
func maze(t *testing.T) (*Tree, string) {
	tr := put(t, dirEntry("d"), linkEntry("l0", "d"))
	const links = 250
	for i := range links {
		way := strings.Repeat("d/../", (maxLinkText/links-5)/len("d/../"))
		e := linkEntry(fmt.Sprintf("l%d", i+1), way+fmt.Sprintf("l%d", i))
		if _, err := tr.Put(&e); err != nil {
			t.Fatal(err)
		}
	}
	return tr, fmt.Sprintf("l%d", links)
}

// TestMaze takes long ways until they are too many.
func TestMaze(t *testing.T) {
	tr, long := maze(t)
	for i := 0; ; i++ {
		got, err := tr.ResolveDir(long + "/x")
		if err == nil && got == "d/x" && i < 1000 {
			continue
		}
		if i < 10 || !errors.Is(err, errSteps) {
			t.Errorf("way %d leads to %s, %v", i, got, err)
		}
		break
	}
	if got, err := tr.ResolveDir("d/x"); got != "d/x" || err != nil {
		t.Errorf("no link: %s, %v", got, err)
	}
	reftest.Cost(t, 200, 40_000, map[string]func(t *testing.T, n int){
		"maze": func(t *testing.T, n int) {
			tr, long := maze(t)
			for range n {
				tr.ResolveDir(long)
			}
		},
		"links one behind the other, deep down": func(t *testing.T, n int) {
			tr := put(t, linkEntry(strings.Repeat("d/", 1000)+"l", "."))
			for range n {
				tr.ResolveDir(strings.Repeat("d/", 1000) + strings.Repeat("l/", 200) + "x")
			}
		},
	})
}

// TestMazeApply has implied directories where the layers below have links.
func TestMazeApply(t *testing.T) {
	for name, entry := range map[string]Entry{"file": fileEntry("x/f", 0), "whiteout": {Path: "x/f", Type: Char}} {
		tr, long := maze(t)
		var err error
		for i := 0; i < 1000 && err == nil; i++ {
			if i == 0 {
				e := linkEntry("x", long)
				tr.Put(&e)
			}
			err = tr.Apply(put(t, entry))
		}
		if !errors.Is(err, errSteps) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestManyWays takes the longest ways that the kernel would, and others that are
// usual, any number of times.
func TestManyWays(t *testing.T) {
	tr := put(t, dirEntry("usr/lib"), linkEntry("lib", "usr/lib"), linkEntry("l0", "usr/lib"))
	for i := range 39 {
		e := linkEntry(fmt.Sprintf("l%d", i+1), fmt.Sprintf("usr/../usr/../l%d", i))
		if _, err := tr.Put(&e); err != nil {
			t.Fatal(err)
		}
	}
	for range 50_000 {
		for _, path := range []string{"lib/x", "l39/x"} {
			if got, err := tr.ResolveDir(path); got != "usr/lib/x" || err != nil {
				t.Fatalf("%s: %s, %v", path, got, err)
			}
		}
	}
}
