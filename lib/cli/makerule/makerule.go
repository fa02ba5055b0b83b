// Package makerule writes the rules of a makefile that say on which files another one
// depends, as compilers do: GNU make includes them, and ninja reads them as a depfile.
package makerule

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A NameError says that a name has no form in a makefile.
type NameError struct {
	Name string
	Why  string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%q cannot be named in a makefile: %s", e.Name, e.Why)
}

// escape has the characters of names that make would take for something else. ninja undoes
// those of a space, #, $ and a colon, and does not read files with the others.
var escape = strings.NewReplacer(" ", `\ `, "#", `\#`, "$", "$$", ":", `\:`, "*", `\*`, "?", `\?`, "[", `\[`)

// Rules are the rules that target depends on names, whose order means nothing, and that each
// of names is a target without a recipe: if one does not exist any more, target is made
// anew, and make does not stop. It does stop for a name that has = or %, or is like .PHONY,
// which has no such rule.
// Errors are [*NameError].
func Rules(target string, names []string) ([]byte, error) {
	if err := CheckTarget(target); err != nil {
		return nil, err
	}
	names = slices.Clone(names)
	for i, name := range names {
		if err := check(name); err != nil {
			return nil, err
		}
		names[i] = spelled(name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(before(a), before(b)) })
	for i, name := range names[:min(len(names), 2)] {
		if before(name) > i {
			return nil, &NameError{name, "it has an equals sign, and too few names without one come before it"}
		}
	}
	var b bytes.Buffer
	b.WriteString(escape.Replace(target) + ":")
	for _, name := range names {
		b.WriteString(" \\\n  " + escape.Replace(name))
	}
	b.WriteString("\n")
	for _, name := range names {
		if hasTarget(name) {
			b.WriteString(escape.Replace(name) + ":\n")
		}
	}
	return b.Bytes(), nil
}

// before returns how many names without an equals sign must come before name: make takes one
// for the assignment of a variable where it comes first behind the target, and an operator
// where it comes second.
func before(name string) int {
	switch {
	case strings.HasPrefix(name, "="), strings.HasPrefix(name, "+="), strings.HasPrefix(name, "!="):
		return 2
	case strings.Contains(name, "="):
		return 1
	}
	return 0
}

// spelled returns name, or another one of the same file where make would take name for a word
// of its own, or, as it does with "./", for a file whose name is empty.
func spelled(name string) string {
	switch {
	case slices.Contains(directives, name):
		return "./" + name
	case strings.HasPrefix(name, "./") && strings.Trim(name, "./") == "" && !strings.Contains(name, ".."):
		return "."
	}
	return name
}

// hasTarget reports whether name can be a target. With a percent sign it would be a pattern,
// and a name such as .IGNORE would change what make does.
func hasTarget(name string) bool {
	return !strings.ContainsAny(name, "=%") && !special().MatchString(name)
}

var special = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(\./+)*\.[A-Z_]+$`)
})

// CheckTarget returns a [*NameError] if name cannot be the target of a rule.
func CheckTarget(name string) error {
	switch {
	case strings.ContainsAny(name, "=%*?["):
		return &NameError{name, "it is a target, and has one of = % * ? ["}
	case !hasTarget(name), slices.Contains(directives, name):
		return &NameError{name, "it is a word of make"}
	}
	return check(name)
}

// directives begin a line that is no rule, whatever follows, or an assignment behind a target.
var directives = []string{"define", "undefine", "override", "private", "export", "unexport", "vpath"}

func check(name string) error {
	why := ""
	switch {
	case name == "":
		why = "it is empty"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		why = "it has a control character"
	case strings.ContainsAny(name, ";|"):
		why = "it has ; or |"
	case strings.HasPrefix(name, "~"), strings.HasPrefix(name, "./~"):
		why = "it begins with ~"
	case strings.HasSuffix(name, "&"), strings.HasSuffix(name, " "):
		why = "it ends in a space or &"
	case strings.HasSuffix(name, ")") && strings.Index(name, "(") > 0:
		why = "it looks like a member of an archive"
	case backslashMatters(name):
		why = "it has a backslash before a character that needs one"
	}
	if why != "" {
		return &NameError{name, why}
	}
	return nil
}

// backslashMatters reports whether make would take a backslash in name for an escape.
func backslashMatters(name string) bool {
	for i := range len(name) {
		if name[i] == '\\' && (i+1 == len(name) || strings.IndexByte(`\ #$:%*?[=`, name[i+1]) >= 0) {
			return true
		}
	}
	return false
}
