package tree

import "testing"

func TestDifference(t *testing.T) {
	whole := func() *Entry {
		return &Entry{Path: "f", Type: File, Mode: 0o644, Nlink: 1, UID: 2, GID: 3, Xattrs: []Xattr{{"user.a", "b"}}}
	}
	if err := Difference(whole(), whole(), "the image"); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(e *Entry){
		"type":            func(e *Entry) { e.Type = Fifo },
		"mode":            func(e *Entry) { e.Mode ^= 1 },
		"uid":             func(e *Entry) { e.UID++ },
		"gid":             func(e *Entry) { e.GID++ },
		"seconds":         func(e *Entry) { e.Time.Sec++ },
		"nanoseconds":     func(e *Entry) { e.Time.Nsec++ },
		"size":            func(e *Entry) { e.Size++ },
		"links":           func(e *Entry) { e.Nlink++ },
		"hard link":       func(e *Entry) { e.Hardlink = "x" },
		"lower":           func(e *Entry) { e.Lower = &Lower{Targets: []string{"x"}} },
		"implied":         func(e *Entry) { e.NoChange = true },
		"target":          func(e *Entry) { e.Link = "x" },
		"device":          func(e *Entry) { e.Dev.Minor++ },
		"xattr value":     func(e *Entry) { e.Xattrs[0].Value = "c" },
		"xattr name":      func(e *Entry) { e.Xattrs[0].Name = "user.b" },
		"number of xattr": func(e *Entry) { e.Xattrs = nil },
	} {
		e := whole()
		change(e)
		if Difference(whole(), e, "the image") == nil {
			t.Errorf("%s: no difference is seen", what)
		}
	}
	other := whole()
	other.Size = 7
	if err := Difference(whole(), other, "the image"); err == nil || err.Error() != "size: 7 in the image, 0 was added" {
		t.Error(err)
	}
}
