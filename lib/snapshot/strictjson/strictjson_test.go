package strictjson

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/snapshot/fault"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"null", "null"},
		{" [ true , false ]\n", "[true,false]"},
		{`{"b":1,"a":{"d":[],"c":{}}}`, `{"a":{"c":{},"d":[]},"b":1}`},
		{`{"é":1,"z":2,"":3}`, `{"":3,"z":2,"é":1}`},
		{"\"\\u0041\\/<>&\u2028\x7f\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\\"", "\"A/<>&\u2028\x7f\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\\""},
		{`"\ud83d\ude00"`, `"😀"`},
		{"[0,-1,18446744073709551615,-9223372036854775808]", "[0,-1,18446744073709551615,-9223372036854775808]"},
	} {
		v, err := Parse([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if have := string(Append(nil, v)); have != c.want {
			t.Errorf("%s: have %s, want %s", c.in, have, c.want)
		}
	}
	if have := string(Append(nil, Record().Set("b", Int(1)).Set("a", Map().Set("d", Str("x")).Set("c", Text(nil))))); have != `{"b":1,"a":{"c":null,"d":"x"}}` {
		t.Error(have)
	}
}

func TestRFC8785(t *testing.T) {
	v := Record().Set("b", Int(1)).Set("a", Map().Set("z", Str("é")).Set("", Int(0)).Set("aa", Int(1)).Set("a", Int(2))).
		Set("\uff61", Int(3)).Set("\U00010000", Int(4)).Set("\U00010001", Int(5)).Set("ퟻ", Int(6)).Set("\uff61x", Int(7))
	want := `{"a":{"":0,"a":2,"aa":1,"z":"é"},"b":1,"` + "ퟻ" + `":6,"` + "\U00010000" + `":4,"` + "\U00010001" + `":5,"` + "\uff61" + `":3,"` + "\uff61" + `x":7}`
	if have := string(AppendRFC8785(nil, v)); have != want {
		t.Errorf("have %s, want %s", have, want)
	}
}

func TestReader(t *testing.T) {
	v, err := Parse([]byte(`{"s":"x","n":null,"i":7,"b":true,"l":["p","q"],"o":{"k":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	var r Reader
	f := r.Fields(v, "top", "s", "n", "i", "b", "l", "o", "missing?")
	if r.Text(f[0], "s") != "x" || r.TextOrNull(f[1], "n") != nil || *r.TextOrNull(f[0], "s") != "x" || r.Int(f[2], "i") != 7 ||
		!r.Bool(f[3], "b") || !slices.Equal(r.Texts(f[4], "l"), []string{"p", "q"}) || r.Object(f[5], "o")["k"].Text != "1" || f[6] != nil {
		t.Error("wrong values")
	}
	if r.Is(f[0], "s", "x"); r.Err != nil {
		t.Fatal(r.Err)
	}
	for name, read := range map[string]func(*Reader){
		"text":    func(r *Reader) { r.Text(f[1], "here") },
		"int":     func(r *Reader) { r.Int(f[0], "here") },
		"bool":    func(r *Reader) { r.Bool(f[0], "here") },
		"list":    func(r *Reader) { r.List(f[0], "here") },
		"texts":   func(r *Reader) { r.Texts(List(Int(1)), "here") },
		"object":  func(r *Reader) { r.Object(f[4], "here") },
		"fields":  func(r *Reader) { r.Fields(f[5], "here", "other") },
		"is":      func(r *Reader) { r.Is(f[0], "here", "y") },
		"or null": func(r *Reader) { r.TextOrNull(f[2], "here") },
	} {
		r := Reader{}
		if read(&r); r.Err == nil || !strings.Contains(r.Err.Error(), "here") {
			t.Errorf("%s: %v", name, r.Err)
		}
		first := r.Err
		if r.Bool(f[0], "later"); r.Err != first {
			t.Errorf("%s: the first error was lost", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		in, said string
		is       error
	}{
		{"", "byte 0: cut short", fault.ErrCorrupt},
		{"\ufeff{}", `byte 0: '\ufeff' in the place of a value`, fault.ErrCorrupt},
		{"\"\xff\"", "byte 1: 0xff is not UTF-8", fault.ErrCorrupt},
		{`{"a":1,"a":2}`, `byte 7: the key "a" is there twice`, fault.ErrCorrupt},
		{`{"x":[{"a":1,"\u0061":2}]}`, `the key "a" is there twice`, fault.ErrCorrupt},
		{"{} {}", "byte 3: something follows", fault.ErrCorrupt},
		{"[1,]", `']' in the place of a value`, fault.ErrCorrupt},
		{`{"a":1,}`, "in the place of a key", fault.ErrCorrupt},
		{`{"a" 1}`, "in the place of a colon", fault.ErrCorrupt},
		{`[1 2]`, "in the place of a comma", fault.ErrCorrupt},
		{`{"a":1`, "cut short", fault.ErrCorrupt},
		{`"abc`, "cut short", fault.ErrCorrupt},
		{`"a` + "\n\"", "control character 0x0a", fault.ErrCorrupt},
		{`"\x"`, "not a valid escape", fault.ErrCorrupt},
		{`"\u00g0"`, "not a valid escape", fault.ErrCorrupt},
		{`"\ud800"`, "half of a surrogate pair", fault.ErrCorrupt},
		{`"\udc00\ud800"`, "half of a surrogate pair", fault.ErrCorrupt},
		{`"\ud800\u0041"`, "half of a surrogate pair", fault.ErrCorrupt},
		{"tru", "in the place of a value", fault.ErrCorrupt},
		{"NaN", "in the place of a value", fault.ErrCorrupt},
		{"01", "is not a number", fault.ErrCorrupt},
		{"-", "is not a number", fault.ErrCorrupt},
		{"1.0", "not an integer", fault.ErrUnsupported},
		{"1e3", "not an integer", fault.ErrUnsupported},
		{"-0", "not an integer", fault.ErrUnsupported},
		{"18446744073709551616", "does not fit", fault.ErrUnsupported},
		{"-9223372036854775809", "does not fit", fault.ErrUnsupported},
		{strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), "nested deeper than", fault.ErrCorrupt},
	} {
		v, err := Parse([]byte(c.in))
		if err == nil {
			t.Errorf("%s: accepted as %s", c.in, Append(nil, v))
		} else if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: %v", c.in, err)
		}
	}
	if _, err := Parse([]byte(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth))); err != nil {
		t.Error(err)
	}
}

func TestFields(t *testing.T) {
	v, err := Parse([]byte(`{"n":9007199254740991,"s":"x","b":true,"z":null,"l":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	f, err := v.Fields("r", "s", "n", "b", "z", "l", "gone?")
	if err != nil || f[5] != nil {
		t.Fatal(f, err)
	}
	if n, err := f[1].Int("r.n"); n != MaxInt || err != nil {
		t.Error(n, err)
	}
	if s, err := f[3].StringOrNull("r.z"); s != nil || err != nil {
		t.Error(s, err)
	}
	for name, err := range map[string]error{
		`byte 5: r: unknown key "n"`:                         second(v.Fields("r", "s")),
		`byte 0: r: key "y" is missing`:                      second(v.Fields("r", "s", "n", "b", "z", "l", "y")),
		`byte 26: r.s: is a string, not a number`:            second(f[0].Int("r.s")),
		`byte 5: r.n: is a number, not a string`:             second(f[1].String("r.n")),
		`byte 43: r.z: is null, not a boolean`:               second(f[3].Bool("r.z")),
		`byte 34: r.b: is a boolean, not an array`:           second(f[2].List("r.b")),
		`byte 52: r.l: is an array, not an object`:           second(f[4].Fields("r.l")),
		`byte 5: r.n: 9007199254740992 is not a number of 0`: second((&Value{Kind: Number, Text: "9007199254740992", Offset: 5}).Int("r.n")),
		`byte 26: r.s: is "x", not "y"`:                      f[0].Is("r.s", "y"),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("have %v, want %s", err, name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":[1,true,null,"\u00e9\ud83d\ude00"],"b":{"c":-5}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := Parse(in)
		if err != nil {
			if !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		out := Append(nil, v)
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("%s: canonical form %s: %v", in, out, err)
		}
		if twice := Append(nil, again); !bytes.Equal(out, twice) {
			t.Fatalf("%s: %s, then %s", in, out, twice)
		}
	})
}

func TestCountValues(t *testing.T) {
	for text, want := range map[string]int{`1`: 1, `[]`: 2, `{"a":[1,2],"b":{}}`: 6, `","`: 2} {
		if n := CountValues([]byte(text)); n != want {
			t.Errorf("%s: %d", text, n)
		}
	}
}
