package treetest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// Facts are what src yields, in the form of [reftest.Walk]. A hard link comes after the entry
// that it is a link to.
func Facts(t testing.TB, src tree.Source) (list []reftest.Fact) {
	t.Helper()
	sums := make(map[string]string) // of files, by path
	for {
		e, err := src.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		f := fact(t, e)
		if e.Hardlink != "" {
			f.Sum = sums[e.Hardlink]
		} else if e.Type == tree.File {
			sums[e.Path] = f.Sum
		}
		list = append(list, f)
	}
}

// fact is what e says, without the sum of what a hard link is a link to.
func fact(t testing.TB, e *tree.Entry) reftest.Fact {
	t.Helper()
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
	if e.Hardlink != "" {
		f.SameAs = e.Hardlink
	} else if e.Type == tree.File {
		h := sha256.New()
		if err := tree.WriteExpanded(h, e); err != nil {
			t.Fatalf("%s: %v", e.Path, err)
		}
		f.Sum = fmt.Sprintf("%x", h.Sum(nil))
	}
	return f
}
