package overlay

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// ofInodes are entries with the numbers of their inodes.
type ofInodes struct {
	entries []tree.Entry
	numbers []uint64
	at      int
}

func (s *ofInodes) Next() (*tree.Entry, error) {
	if s.at == len(s.entries) {
		return nil, io.EOF
	}
	s.at++
	e := s.entries[s.at-1]
	return &e, nil
}

func (s *ofInodes) Inode() uint64 { return s.numbers[s.at-1] }
func (s *ofInodes) Close() error  { return nil }

func source(entries ...tree.Entry) *ofInodes {
	s := &ofInodes{entries: entries}
	for i := range entries {
		s.numbers = append(s.numbers, uint64(i+100))
	}
	return s
}

func dir(path string, marks ...string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.Dir, Mode: 0o755, Nlink: 2, Xattrs: xattrs(marks...)}
}

func file(path, content string, marks ...string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Nlink: 1, Size: int64(len(content)), Content: tree.Bytes(content), Xattrs: xattrs(marks...)}
}

func link(path, target string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Nlink: 2, Hardlink: target}
}

func whiteout(path string) tree.Entry { return tree.Entry{Path: path, Type: tree.Char, Nlink: 1} }

// metacopy is a file of which only the metadata were copied up.
func metacopy(path string, size int64, marks ...string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.File, Mode: 0o600, Nlink: 1, Size: size, Extents: []tree.Extent{}, Xattrs: xattrs(append(marks, "metacopy=")...)}
}

// xattrs are attributes from NAME=VALUE; marks of overlayfs go without their prefix.
func xattrs(list ...string) (xs []tree.Xattr) {
	for _, x := range list {
		name, value, _ := strings.Cut(x, "=")
		if !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "trusted.") {
			name = trustedPrefix + name
		}
		xs = append(xs, tree.Xattr{Name: name, Value: value})
	}
	return xs
}

// images merges layers to what is below an overlay.
func images(t *testing.T, names *Names, layers ...*ofInodes) *Below {
	t.Helper()
	below := &Below{Tree: tree.NewFlat(), Names: names}
	for i, l := range layers {
		if names != nil {
			for {
				e, err := l.Next()
				if err != nil {
					break
				}
				if err := names.Visit(i, l.Inode(), e); err != nil {
					t.Fatal(err)
				}
			}
			l.at = 0
		}
		read, err := tree.ReadLayer(l, nil)
		if err == nil {
			err = below.Tree.Apply(read)
		}
		if err != nil {
			t.Fatal(err)
		}
		below.UUIDs = append(below.UUIDs, &[16]byte{byte(i + 1)})
	}
	return below
}

// listing has a word for each entry: PATH, then / for directories, ! for opaque ones, - for
// whiteouts, =CONTENT for files, and @TARGET for links; then the extended attributes.
func listing(t *testing.T, src tree.Source) string {
	t.Helper()
	var words []string
	for {
		e, err := src.Next()
		if err == io.EOF {
			return strings.Join(words, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		word := e.Path
		switch {
		case e.IsWhiteout():
			word += "-"
		case e.IsLower():
			word += "@/" + e.Lower.Targets[0]
		case e.Hardlink != "":
			word += "@" + e.Hardlink
		case e.IsOpaque():
			word += "/!"
		case e.Type == tree.Dir:
			word += "/"
		case e.Type == tree.File:
			var b strings.Builder
			if err := tree.WriteExpanded(&b, e); err != nil {
				t.Errorf("%s: %v", e.Path, err)
			}
			word += "=" + b.String()
		}
		for _, x := range e.Xattrs {
			if x != tree.Opaque {
				word += "[" + x.Name + "=" + x.Value + "]"
			}
		}
		words = append(words, word)
	}
}

// The marks of an upper directory, and what they become.
func TestChanges(t *testing.T) {
	linked := file("d/f", "F")
	linked.Nlink = 2
	lower := func() *ofInodes {
		return source(dir("."), file("a", "A"), dir("d"), linked, link("d/g", "d/f"), dir("d/sub"), file("d/sub/x", "X"), dir("e"), file("e/y", "Y"), file("z", "Z"))
	}
	for name, c := range map[string]struct {
		upper []tree.Entry
		alone string // without what is below; "" if that is an error
		want  string // with it; "": the same
		opts  Options
		warn  string
	}{
		"nothing":                 {[]tree.Entry{dir(".")}, "./", "", Options{}, ""},
		"marks dropped":           {[]tree.Entry{dir(".", "impure=y", "uuid=1234"), file("a", "B", "origin=xx", "nlink=U+1", "redirect=/a", "user.k=v")}, "./ a=B[user.k=v]", "", Options{}, ""},
		"whiteouts":               {[]tree.Entry{dir("."), whiteout("a"), {Path: "d", Type: tree.Char, Nlink: 2, Hardlink: "a"}}, "./ a- d-", "", Options{}, ""},
		"opaque":                  {[]tree.Entry{dir("."), dir("d", "opaque=y", "user.k=v"), file("d/n", "N")}, "./ d/![user.k=v] d/n=N", "", Options{}, ""},
		"opaque root":             {[]tree.Entry{dir(".", "opaque=y"), whiteout("a")}, "./ a-", "", Options{}, ""},
		"opaque and redirect":     {[]tree.Entry{dir("."), dir("n", "opaque=y", "redirect=/d")}, "./ n/!", "", Options{}, ""},
		"opaque file":             {[]tree.Entry{dir("."), file("a", "B", "opaque=y")}, "./ a=B", "", Options{}, ""},
		"opaque of another value": {[]tree.Entry{dir("."), dir("d", "opaque=yes")}, "./ d/", "", Options{}, ""},
		"file whiteouts":          {[]tree.Entry{dir("."), dir("d", "opaque=x"), file("d/f", "", "whiteout="), file("d/g", "1", "whiteout=")}, "./ d/ d/f- d/g=1", "", Options{}, ""},
		"escaped":                 {[]tree.Entry{dir("."), file("a", "B", "overlay.redirect=/q", "overlay.overlay.x=1")}, "./ a=B[trusted.overlay.overlay.x=1][trusted.overlay.redirect=/q]", "", Options{}, ""},
		"escaped opaque":          {[]tree.Entry{dir("."), dir("d", "overlay.opaque=y")}, "./ d/", "", Options{}, "d: is opaque in another overlay, which a layer cannot say"},
		"immutable":               {[]tree.Entry{dir("."), file("a", "B", "protattr=i"), file("b", "B", "protattr=a")}, "./ a=B b=B", "", Options{}, "a: is immutable or append-only, which a layer cannot say (and 1 more)"},
		"userxattr": {[]tree.Entry{dir("."), dir("d", "user.overlay.opaque=y", "trusted.overlay.redirect=/e"), file("u", "", "user.overlay.overlay.o=1")},
			"./ d/![trusted.overlay.redirect=/e] u=[user.overlay.o=1]", "", Options{UserXattr: true}, ""},
		"userxattr, not set": {[]tree.Entry{dir("."), dir("d", "user.overlay.opaque=y")}, "./ d/[user.overlay.opaque=y]", "", Options{}, ""},
		"userxattr, trusted": {[]tree.Entry{dir("."), dir("d", "trusted.overlay.opaque=y")}, "./ d/", "", Options{UserXattr: true}, "d: is opaque in another overlay, which a layer cannot say"},
		"hard links":         {[]tree.Entry{dir("."), file("b", "B"), link("c", "b")}, "./ b=B c@b", "", Options{}, ""},
		"exclude":            {[]tree.Entry{dir("."), file("b", "B"), link("c", "b"), dir("d"), file("d/n", "N"), whiteout("e")}, "./ c=B d/", "", Options{Exclude: []tree.Pattern{"b", "/d/*", "e"}}, ""},

		"renamed":             {[]tree.Entry{dir("."), whiteout("e"), dir("n", "redirect=e"), file("n/m", "M")}, "", "./ e- n/! n/m=M n/y=Y", Options{}, ""},
		"renamed, with links": {[]tree.Entry{dir("."), whiteout("d"), dir("n", "redirect=/d"), whiteout("n/sub")}, "", "./ d- n/! n/f=F n/g@n/f", Options{}, ""},
		"renamed, deep": {[]tree.Entry{dir("."), whiteout("d"), dir("n", "redirect=d"), whiteout("n/sub"), dir("n/bus", "redirect=sub"), whiteout("n/bus/x"), whiteout("n/f"), whiteout("n/g")},
			"", "./ d- n/! n/bus/", Options{}, ""},
		"renamed out of a renamed one": {[]tree.Entry{dir("."), dir("o", "redirect=/d/sub"), dir("d"), whiteout("d/sub")}, "", "./ d/ d/sub- o/! o/x=X", Options{}, ""},
		"renamed into a new one":       {[]tree.Entry{dir("."), whiteout("e"), dir("n"), dir("n/e", "redirect=/e")}, "", "./ e- n/ n/e/! n/e/y=Y", Options{}, ""},
		"renamed over another":         {[]tree.Entry{dir("."), whiteout("d"), dir("e", "redirect=d"), dir("e/sub", "opaque=y"), whiteout("e/f"), whiteout("e/g")}, "", "./ d- e/! e/sub/", Options{}, ""},
		"renamed and back":             {[]tree.Entry{dir("."), dir("e", "redirect=/e"), file("e/n", "N"), whiteout("e/y")}, "", "./ e/ e/n=N e/y-", Options{}, ""},
		"renamed into itself":          {[]tree.Entry{dir("."), dir("e"), dir("e/e", "redirect=/e")}, "", "./ e/ e/e/! e/e/y=Y", Options{}, ""},
		"renamed, excluded":            {[]tree.Entry{dir("."), dir("n", "redirect=e")}, "", "./ n/!", Options{Exclude: []tree.Pattern{"n/y"}}, ""},
		"one link in place":            {[]tree.Entry{dir("."), dir("n", "redirect=/d"), whiteout("n/sub"), whiteout("n/g"), dir("d"), whiteout("d/g")}, "", "./ d/ d/g- n/! n/f@/d/f", Options{}, ""},

		"metacopy":                {[]tree.Entry{dir("."), metacopy("a", 1)}, "", "./ a=A", Options{}, ""},
		"metacopy, renamed":       {[]tree.Entry{dir("."), whiteout("a"), metacopy("b", 1, "redirect=a")}, "", "./ a- b=A", Options{}, ""},
		"metacopy, moved":         {[]tree.Entry{dir("."), dir("d"), metacopy("d/b", 1, "redirect=/e/y")}, "", "./ d/ d/b=Y", Options{}, ""},
		"metacopy in a renamed":   {[]tree.Entry{dir("."), dir("n", "redirect=e"), metacopy("n/y", 1)}, "", "./ n/! n/y=Y", Options{}, ""},
		"metacopy with a sum":     {[]tree.Entry{dir("."), {Path: "a", Type: tree.File, Size: 1, Nlink: 1, Extents: []tree.Extent{}, Xattrs: xattrs("metacopy=\x00\x06\x00\x01ab")}}, "", "./ a=A", Options{}, ""},
		"metacopy of a directory": {[]tree.Entry{dir("."), dir("d", "metacopy=")}, "./ d/", "", Options{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var said []string
			c.opts.Warn = func(s string) { said = append(said, s) }
			src, err := changes(source(c.upper...), nil, c.opts)
			switch {
			case c.alone == "" && !errors.As(err, new(*NeedsBelowError)):
				t.Errorf("alone: error %v", err)
			case c.alone != "" && err != nil:
				t.Errorf("alone: %v", err)
			case c.alone != "":
				if have := listing(t, src); have != c.alone {
					t.Errorf("alone: %s, expected %s", have, c.alone)
				}
				if have := strings.Join(said, "\n"); have != c.warn {
					t.Errorf("warnings %s, expected %s", have, c.warn)
				}
			}
			if c.want == "" {
				c.want = c.alone
			}
			c.opts.Below = images(t, nil, lower())
			src, err = changes(source(c.upper...), nil, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if have := listing(t, src); have != c.want {
				t.Errorf("%s, expected %s", have, c.want)
			}
		})
	}
}

// Marks that no kernel makes, and images that were not below, are errors that name the file.
func TestChangesRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		bad  tree.Entry
		kind any // what the error is or wraps
		want string
	}{
		"out of the root":            {dir("n", "redirect=../.."), ErrCorrupt, `n: redirect to "../.."`},
		"dots":                       {dir("n", "redirect=/d/../e"), ErrCorrupt, "n: redirect"},
		"dot":                        {dir("n", "redirect=."), ErrCorrupt, "n: redirect"},
		"to the root":                {dir("n", "redirect=/"), ErrCorrupt, "n: redirect"},
		"empty":                      {dir("n", "redirect="), ErrCorrupt, "n: redirect"},
		"relative with a slash":      {dir("n", "redirect=d/sub"), ErrCorrupt, "n: redirect"},
		"two slashes":                {dir("n", "redirect=/d//sub"), ErrCorrupt, "n: redirect"},
		"NUL":                        {dir("n", "redirect=/d\x00"), ErrCorrupt, "n: redirect"},
		"64K":                        {dir("n", "redirect=/"+strings.Repeat("d/", 32760)+"d"), ErrCorrupt, "n: redirect"},
		"nowhere":                    {dir("n", "redirect=/none/x"), new(*BelowError), `n: directory that was renamed, but they have no directory "/none/x"`},
		"a file":                     {dir("n", "redirect=/a"), new(*BelowError), "n: directory that was renamed"},
		"through a file":             {dir("n", "redirect=/a/x"), new(*BelowError), "n: directory that was renamed"},
		"through a symbolic link":    {dir("n", "redirect=/l/f"), new(*BelowError), "n: directory that was renamed"},
		"no content":                 {metacopy("n", 1), new(*BelowError), `n: file with its content below, but they have no file "n"`},
		"content of a directory":     {metacopy("n", 1, "redirect=/d"), new(*BelowError), "n: file with its content below"},
		"content of a symbolic link": {metacopy("n", 1, "redirect=/l"), new(*BelowError), "n: file with its content below"},
		"other size":                 {metacopy("a", 2), new(*BelowError), "a: file of 2 bytes with its content below, where it has 1"},
		"form of a metacopy": {tree.Entry{Path: "a", Type: tree.File, Size: 1, Nlink: 1, Extents: []tree.Extent{}, Xattrs: xattrs("metacopy=\x01\x04\x00\x00")},
			ErrCorrupt, "a: copy of metadata in a form"},
		"file whiteout": {file("n", "", "whiteout="), ErrCorrupt, "n: whiteout that is a file"},
	} {
		below := images(t, nil, source(dir("."), file("a", "A"), dir("d"), file("d/f", "F"), tree.Entry{Path: "l", Type: tree.Link, Link: "d", Nlink: 1}))
		_, err := changes(source(dir("."), c.bad), nil, Options{Below: below})
		if is, ok := c.kind.(error); err == nil || ok && !errors.Is(err, is) || !ok && !errors.As(err, c.kind) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: error %v, expected %s", name, err, c.want)
		}
	}
}

// Redirects to one directory over and over count against the limits.
func TestChangesLimits(t *testing.T) {
	var low, up []tree.Entry
	low, up = append(low, dir("."), dir("d")), append(up, dir("."))
	for i := range 100 {
		low = append(low, file(fmt.Sprintf("d/%03d", i), "x"))
		up = append(up, dir(fmt.Sprintf("n%03d", i), "redirect=/d"))
	}
	for _, limits := range []tree.Limits{{Entries: 5000}, {TreeMemory: 500_000}, {TotalSize: 5000}} {
		_, err := changes(source(up...), nil, Options{Below: images(t, nil, source(low...)), Limits: limits})
		if !errors.As(err, new(*tree.LimitError)) {
			t.Errorf("%+v: error %v", limits, err)
		}
	}
	if _, err := changes(source(up...), nil, Options{Below: images(t, nil, source(low...))}); err != nil {
		t.Error(err)
	}
}

// handleOf is the name in the index of a file of EROFS in the first image.
func handleOf(inode byte) string {
	return fmt.Sprintf("00fb21008101%030d00000000%02x00000000000000", 0, inode)
}

// Names that the index joins are joined again.
func TestIndex(t *testing.T) {
	linked := file("a", "old")
	linked.Nlink = 3
	lower := func() *ofInodes {
		l := source(dir("."), linked, link("b", "a"), dir("d"), link("d/c", "a"), file("other", "old"))
		l.numbers = []uint64{1, 7, 7, 2, 7, 9}
		for i := range l.entries {
			if l.entries[i].Content != nil {
				l.entries[i].Content = &fixed{Bytes: tree.Bytes("old")}
			}
		}
		return l
	}
	changed := file("a", "new", "nlink=L+0")
	changed.Nlink = 2
	for name, c := range map[string]struct {
		upper, index []tree.Entry
		inIndex      uint64 // number of the first inode in the index
		want, alone  string // what is said without the images, too
	}{
		"one changed":      {[]tree.Entry{dir("."), changed}, []tree.Entry{dir("."), file(handleOf(7), "new", "nlink=L+0")}, 101, "./ a=new b@a d/c@a", "a: may have"},
		"changed, renamed": {[]tree.Entry{dir("."), whiteout("a"), whiteout("b"), func() tree.Entry { e := changed; e.Path = "z"; return e }()}, []tree.Entry{dir("."), file(handleOf(7), "new", "nlink=L+0")}, 103, "./ a- b- d/c=new z@d/c", "z: may have"},
		"changed, removed": {[]tree.Entry{dir("."), whiteout("a")}, []tree.Entry{dir("."), file(handleOf(7), "new", "nlink=U+1")}, 500, "./ a- b=new d/c@b", "a file that was removed: may have"},
		"metadata":         {[]tree.Entry{dir("."), whiteout("a")}, []tree.Entry{dir("."), metacopy(handleOf(7), 3, "nlink=U+1")}, 500, "./ a- b=old d/c@b", "a file that was removed: may have"},
		"all are known":    {[]tree.Entry{dir("."), changed, whiteout("b"), dir("d"), whiteout("d/c")}, []tree.Entry{dir("."), file(handleOf(7), "new", "nlink=U-1")}, 101, "./ a=new b- d/ d/c-", ""},
		"in a renamed":     {[]tree.Entry{dir("."), changed, whiteout("d"), dir("n", "redirect=d"), whiteout("b")}, []tree.Entry{dir("."), file(handleOf(7), "new", "nlink=L+0")}, 101, "./ a=new b- d- n/! n/c@a", ""},
		"hidden":           {[]tree.Entry{dir("."), changed, dir("d", "opaque=y")}, []tree.Entry{dir("."), file(handleOf(7), "new", "nlink=U+0")}, 101, "./ a=new b@a d/!", "a: may have"},
		"lies: one name":   {[]tree.Entry{dir("."), changed}, []tree.Entry{dir("."), file(handleOf(9), "new")}, 101, "./ a=new", "a: may have"},
		"lies: no inode":   {[]tree.Entry{dir("."), changed}, []tree.Entry{dir("."), file(handleOf(77), "new")}, 101, "./ a=new", "a: may have"},
		"lies: type":       {[]tree.Entry{dir(".")}, []tree.Entry{dir("."), {Path: handleOf(7), Type: tree.Fifo, Nlink: 1}}, 101, "./", "a file that was removed: may have"},
		"no handles":       {[]tree.Entry{dir(".")}, []tree.Entry{dir("."), file("#12", "x"), file("00fb", "x"), file("xyz", "x"), dir(handleOf(7)), whiteout(handleOf(8))}, 101, "./", ""},
	} {
		t.Run(name, func(t *testing.T) {
			index := func() *ofInodes {
				s := source(c.index...)
				for i := range s.numbers {
					s.numbers[i] = c.inIndex + uint64(i) - 1
				}
				return s
			}
			src, err := changes(source(c.upper...), index(), Options{Below: images(t, &Names{}, lower()), Warn: func(s string) { t.Errorf("warning: %s", s) }})
			if err != nil {
				t.Fatal(err)
			}
			if have := listing(t, src); have != c.want {
				t.Errorf("%s, expected %s", have, c.want)
			}
			said := ""
			if _, err = changes(source(c.upper...), index(), Options{Warn: func(s string) { said = s }}); err != nil && !errors.As(err, new(*NeedsBelowError)) {
				t.Fatal(err)
			}
			if !strings.HasPrefix(said, c.alone) || c.alone == "" && said != "" {
				t.Errorf("warning %q, expected %q", said, c.alone)
			}
		})
	}
}

func TestParseHandle(t *testing.T) {
	uuid := [16]byte{0: 0xaa, 15: 0xbb}
	head := func(size, flags, kind int) string { return fmt.Sprintf("00fb%02x%02x%02x%x", size, flags, kind, uuid) }
	for name, want := range map[string]handle{
		head(33, 0, 0x81) + "02000000" + "01000000" + "07000000": {uuid, 2<<32 + 1, true},
		head(33, 1, 0x81) + "00000002" + "00000001" + "00000007": {uuid, 2<<32 + 1, true},
		head(29, 0, 1) + "05010000" + "07000000":                 {uuid, 0x105, true},
		head(29, 0, 2) + "05010000" + "07000000":                 {uuid, 0, false}, // of another kind
		head(33, 0, 1) + "05010000" + "07000000" + "00000000":    {uuid, 0, false},
		head(21, 0, 1): {uuid, 0, false},
	} {
		if h, ok := parseHandle(name); !ok || h != want {
			t.Errorf("%s: %+v, %v", name, h, ok)
		}
	}
	for _, name := range []string{"", "#1", "00fb", head(30, 0, 1), head(22, 0, 1), "01" + head(21, 0, 1)[2:], "00fa" + head(21, 0, 1)[4:]} {
		if h, ok := parseHandle(name); ok {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// fixed is content that can be compared.
type fixed struct{ tree.Bytes }

// An image below that only overlayfs can read is refused.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		e    tree.Entry
		user bool
		want string
	}{
		{dir("d", "redirect=/x"), false, "d: xattr trusted.overlay.redirect: an upper directory"},
		{metacopy("f", 1), false, "f: xattr trusted.overlay.metacopy: an upper directory"},
		{dir("d", "user.overlay.redirect=/x"), true, "d: xattr user.overlay.redirect: an upper directory"},
		{dir("d", "user.overlay.redirect=/x"), false, ""},
		{dir("d", "opaque=y"), false, ""},
		{file("f", "1", "redirect=/x"), false, ""},
	} {
		err := (&Names{UserXattr: c.user}).Visit(0, 1, &c.e)
		if (err == nil) != (c.want == "") || err != nil && (!strings.HasPrefix(err.Error(), c.want) || !errors.As(err, new(*LayersError))) {
			t.Errorf("%s: %v, expected %q", c.e.Path, err, c.want)
		}
	}
}
