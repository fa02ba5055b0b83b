// Package jsonfault says what is wrong with JSON in the words of the messages: package
// encoding/json names types of Go.
package jsonfault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Explain returns err, which encoding/json gave, with another text. What err wraps stays. Any
// other error is returned as it is.
func Explain(err error) error {
	var (
		syntax *json.SyntaxError
		typed  *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		return &fault{syntaxText(syntax), err}
	case errors.As(err, &typed):
		return &fault{typeText(typed), err}
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF:
		return &fault{endText, err}
	}
	return err
}

type fault struct {
	text string
	err  error
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.err }

const endText = "the JSON is cut short"

func syntaxText(e *json.SyntaxError) string {
	text := e.Error()
	if text == "unexpected end of JSON input" {
		return endText
	}
	if begin, ok := strings.CutSuffix(text, " looking for beginning of value"); ok {
		text = strings.TrimPrefix(begin, "invalid character ") + " where a value should be"
	}
	return fmt.Sprintf("byte %d: not JSON: %s", max(e.Offset-1, 0), text)
}

func typeText(e *json.UnmarshalTypeError) string {
	what := "it"
	if e.Field != "" {
		what = e.Field
	}
	return fmt.Sprintf("before byte %d: %s is %s, not %s", e.Offset, what, found(e.Value), wanted(e.Type))
}

// found returns a value as package json calls it in our words: "string", "array", "number 1.5".
func found(value string) string {
	kind, text, _ := strings.Cut(value, " ")
	switch {
	case kind == "array":
		return "a list"
	case kind == "object":
		return "an object"
	case kind == "bool":
		return "true or false"
	case text != "":
		return "the " + kind + " " + text
	}
	return "a " + kind
}

// wanted returns what a type of Go is in JSON.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return wanted(t.Elem())
	case reflect.Slice, reflect.Array:
		if t == reflect.TypeFor[[]byte]() {
			return "a string in base64"
		}
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Interface:
		return "what it should be"
	}
	return fmt.Sprintf("a whole number of %d bits", t.Bits())
}
