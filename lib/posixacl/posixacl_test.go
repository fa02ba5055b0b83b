package posixacl

import (
	"errors"
	"slices"
	"testing"
)

var (
	owner, group, mask, other = Entry{UserObj, 7, NoID}, Entry{GroupObj, 5, NoID}, Entry{Mask, 4, NoID}, Entry{Other, 0, NoID}
	user7, group9             = Entry{User, 6, 7}, Entry{Group, 1, 9}
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		list  []Entry
		valid bool
	}{
		"mode":               {[]Entry{owner, group, other}, true},
		"user":               {[]Entry{owner, user7, group, mask, other}, true},
		"all":                {[]Entry{owner, user7, {User, 0, 8}, group, group9, {Group, 7, 0}, mask, other}, true},
		"mask alone":         {[]Entry{owner, group, mask, other}, true},
		"none":               {nil, true},
		"no owner":           {[]Entry{group, other}, false},
		"no owning group":    {[]Entry{owner, other}, false},
		"no other":           {[]Entry{owner, group}, false},
		"user, no mask":      {[]Entry{owner, user7, group, other}, false},
		"group, no mask":     {[]Entry{owner, group, group9, other}, false},
		"owner twice":        {[]Entry{owner, owner, group, other}, false},
		"mask twice":         {[]Entry{owner, group, mask, mask, other}, false},
		"other twice":        {[]Entry{owner, group, other, other}, false},
		"user after group":   {[]Entry{owner, group, user7, mask, other}, false},
		"group after mask":   {[]Entry{owner, group, mask, group9, other}, false},
		"permission 8":       {[]Entry{{UserObj, 8, NoID}, group, other}, false},
		"unknown tag":        {[]Entry{owner, group, {0x40, 0, NoID}, other}, false},
		"user without an ID": {[]Entry{owner, {User, 7, NoID}, group, mask, other}, false},
	} {
		list, err := Parse(Format(c.list))
		if (err == nil) != c.valid || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if c.valid && !slices.Equal(list, c.list) {
			t.Errorf("%s: %v, want %v", name, list, c.list)
		}
	}
}

func TestParseBytes(t *testing.T) {
	value := Format([]Entry{owner, group, other})
	for _, bad := range []string{"\x02", "\x01\x00\x00\x00", value[:len(value)-1], value + "\x00"} {
		if list, err := Parse(bad); err == nil {
			t.Errorf("%q: %v", bad, list)
		}
	}
	if list, err := Parse(""); list != nil || err != nil {
		t.Errorf("nothing: %v, %v", list, err)
	}
	ids := Format([]Entry{{UserObj, 7, 1}, {GroupObj, 5, 2}, {Other, 0, 3}})
	if list, err := Parse(ids); err != nil || Format(list) != value {
		t.Errorf("IDs that do not count: %v, %v", list, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Format([]Entry{owner, user7, group, group9, mask, other}))
	f.Fuzz(func(t *testing.T, value string) {
		list, err := Parse(value)
		if err != nil {
			return
		}
		if again, err := Parse(Format(list)); err != nil || !slices.Equal(again, list) {
			t.Fatalf("%q: %v, then %v, %v", value, list, again, err)
		}
	})
}
