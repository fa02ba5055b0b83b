package jsonfault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"ocipipe/lib/jsonfault"
)

func TestExplain(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{``, "the JSON is cut short"},
		{`{"a":`, "the JSON is cut short"},
		{`<html>`, "byte 0: not JSON: '<' where a value should be"},
		{`{"size": x}`, "byte 9: not JSON: 'x' where a value should be"},
		{`{"size": 1 2}`, "byte 11: not JSON: invalid character '2' after object key:value pair"},
		{`[]`, "before byte 1: it is a list, not an object"},
		{`{"size": "x"}`, "before byte 12: size is a string, not a whole number of 64 bits"},
		{`{"size": 1.5}`, "before byte 12: size is the number 1.5, not a whole number of 64 bits"},
		{`{"list": {}}`, "before byte 10: list is an object, not a list"},
		{`{"list": [{"name": 1}]}`, "before byte 20: list.name is a number, not a string"},
		{`{"data": 1}`, "before byte 10: data is a number, not a string in base64"},
		{`{"any": {}}`, "before byte 9: any is an object, not what it should be"},
		{`{"list": [{"set": 1}]}`, "before byte 19: list.set is a number, not true or false"},
	} {
		var v struct {
			Size int64        `json:"size"`
			Data []byte       `json:"data"`
			Any  fmt.Stringer `json:"any"`
			List []*struct {
				Name string `json:"name"`
				Set  bool   `json:"set"`
			} `json:"list"`
		}
		err := json.Unmarshal([]byte(c.in), &v)
		got := jsonfault.Explain(err)
		if got == nil || got.Error() != c.want || !errors.Is(got, err) {
			t.Errorf("%s: %v, want %s", c.in, got, c.want)
		}
	}
	other := errors.New("other")
	for err, want := range map[error]string{io.EOF: "the JSON is cut short", io.ErrUnexpectedEOF: "the JSON is cut short", other: "other"} {
		if got := jsonfault.Explain(err); got.Error() != want || !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
	}
	if jsonfault.Explain(nil) != nil {
		t.Error("no error became one")
	}
}
