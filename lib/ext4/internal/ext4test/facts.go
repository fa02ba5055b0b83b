package ext4test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// Facts are what src yields, in the form of reftest.Walk.
func Facts(t testing.TB, src tree.Source) (list []reftest.Fact) {
	t.Helper()
	for {
		e, err := src.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Fact(t, e, list))
	}
}

// Fact is what e says; before are the entries that came before it.
func Fact(t testing.TB, e *tree.Entry, before []reftest.Fact) reftest.Fact {
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
		for _, b := range before {
			if b.Path == e.Hardlink {
				f.Sum = b.Sum
			}
		}
	} else if e.Type == tree.File {
		h := sha256.New()
		if err := tree.WriteExpanded(h, e); err != nil {
			t.Fatalf("%s: %v", e.Path, err)
		}
		f.Sum = fmt.Sprintf("%x", h.Sum(nil))
	}
	return f
}
