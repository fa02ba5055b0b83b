package overlay_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// facts are what src yields, in the form of reftest.Walk.
func facts(t testing.TB, src tree.Source) (list []reftest.Fact) {
	t.Helper()
	sums := make(map[string]string)
	for {
		e, err := src.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		f := reftest.Fact{
			Path: e.Path, Type: e.Type.String(), Mode: reftest.Octal(e.Mode), UID: e.UID, GID: e.GID, Nlink: uint64(e.Nlink),
			Time: fmt.Sprintf("%d.%09d", e.Time.Sec, e.Time.Nsec), Link: e.Link, SameAs: e.Path, Size: e.Size + int64(len(e.Link)),
		}
		if e.Type == tree.Char || e.Type == tree.Block {
			f.Dev = fmt.Sprintf("%d:%d", e.Dev.Major, e.Dev.Minor)
		}
		for _, x := range e.Xattrs {
			if f.Xattrs == nil {
				f.Xattrs = reftest.Xattrs{}
			}
			f.Xattrs[x.Name] = x.Value
		}
		switch {
		case e.Hardlink != "":
			f.SameAs, f.Sum = e.Hardlink, sums[e.Hardlink]
		case e.Type == tree.File:
			h := sha256.New()
			if err := tree.WriteExpanded(h, e); err != nil {
				t.Fatalf("%s: %v", e.Path, err)
			}
			f.Sum = fmt.Sprintf("%x", h.Sum(nil))
			sums[e.Path] = f.Sum
		}
		list = append(list, f)
	}
}
