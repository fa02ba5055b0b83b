package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// completions are the shells that --completion knows.
var completions = map[string]func(*Manual, *kong.Application) string{
	"bash": bashCompletion,
	"zsh":  zshCompletion,
	"fish": fishCompletion,
}

// values is what completes the value of a flag.
type values struct {
	words       []string
	files, dirs bool
}

func valuesOf(f *kong.Flag) values {
	switch holder := f.FormatPlaceHolder(); {
	case f.Enum != "":
		return values{words: f.EnumSlice()}
	case holder == "DIR":
		return values{dirs: true}
	case holder == "FILE" || holder == "IMAGE" || holder == "DISK":
		return values{files: true}
	}
	return values{}
}

// brief returns the description of f that a shell shows beside it.
func brief(f *kong.Flag) string { return strings.TrimSuffix(f.Help, ".") }

// spellings returns the forms of a flag, the long one last.
func spellings(f *kong.Flag) []string {
	if f.Short != 0 {
		return []string{"-" + string(f.Short), "--" + f.Name}
	}
	return []string{"--" + f.Name}
}

// bashCompletion returns a function for bash. It completes a value after a space and after
// an equals sign, which bash makes a word of its own.
func bashCompletion(m *Manual, model *kong.Application) string {
	var b strings.Builder
	var all []string
	function := "_" + strings.ReplaceAll(m.Name, "-", "_")
	fmt.Fprintf(&b, `# bash completion for %s
%s() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} equals=
	if [[ $cur == = ]]; then
		cur= equals=1
	elif [[ $prev == = && COMP_CWORD -gt 1 ]]; then
		prev=${COMP_WORDS[COMP_CWORD-2]} equals=1
	fi
	case $prev in
`, m.Name, function)
	for _, g := range groups(model) {
		for _, f := range g.flags {
			all = append(all, spellings(f)...)
			if f.IsBool() {
				continue
			}
			v := valuesOf(f)
			action := "COMPREPLY=()"
			switch {
			case v.words != nil:
				action = bashWords(v.words)
			case v.dirs:
				action = bashFiles("-d")
			case v.files:
				action = bashFiles("-f")
			}
			fmt.Fprintf(&b, "\t%s)\n\t\t%s\n\t\treturn\n\t\t;;\n", strings.Join(spellings(f), " | "), action)
		}
	}
	rest := "COMPREPLY=()"
	if len(model.Positional) > 0 {
		rest = bashFiles("-f")
	}
	fmt.Fprintf(&b, `	esac
	if [[ $equals ]]; then
		COMPREPLY=()
	elif [[ $cur == -* ]]; then
		%s
	else
		%s
	fi
}
complete -F %s %s
`, bashWords(all), rest, function, m.Name)
	return b.String()
}

func bashWords(words []string) string {
	return fmt.Sprintf(`mapfile -t COMPREPLY < <(compgen -W '%s' -- "$cur")`, strings.Join(words, " "))
}

// bashFiles completes file names; kind is the flag of compgen, -f for files or -d for
// directories.
func bashFiles(kind string) string {
	return `compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen ` + kind + ` -- "$cur")`
}

// zshCompletion returns a call of _arguments, zsh's function for completing flags.
func zshCompletion(m *Manual, model *kong.Application) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n\n_arguments -S", m.Name)
	for _, g := range groups(model) {
		for _, f := range g.flags {
			several := ""
			if f.IsCumulative() {
				several = "*"
			}
			for _, s := range spellings(f) {
				spec := several + s
				if !f.IsBool() && strings.HasPrefix(s, "--") {
					spec += "="
				} else if !f.IsBool() {
					spec += "+"
				}
				spec += "[" + zshEscape(brief(f)) + "]"
				if !f.IsBool() {
					spec += ":" + zshEscape(f.FormatPlaceHolder()) + ":" + zshAction(valuesOf(f))
				}
				b.WriteString(" \\\n\t" + quote(spec))
			}
		}
	}
	for _, arg := range model.Positional {
		number := ""
		if arg.IsCumulative() {
			number = "*"
		}
		b.WriteString(" \\\n\t" + quote(number+":"+zshEscape(arg.Name)+":_files"))
	}
	b.WriteString("\n")
	return b.String()
}

func zshAction(v values) string {
	switch {
	case v.words != nil:
		return "(" + strings.Join(v.words, " ") + ")"
	case v.dirs:
		return "_files -/"
	case v.files:
		return "_files"
	}
	return " "
}

func zshEscape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`).Replace(text)
}

// fishCompletion returns a call of complete for each flag; fish completes file names by
// itself.
func fishCompletion(m *Manual, model *kong.Application) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion for %s\n", m.Name)
	if len(model.Positional) == 0 {
		fmt.Fprintf(&b, "complete -c %s -f\n", m.Name)
	}
	for _, g := range groups(model) {
		for _, f := range g.flags {
			fmt.Fprintf(&b, "complete -c %s", m.Name)
			if f.Short != 0 {
				fmt.Fprintf(&b, " -s %c", f.Short)
			}
			fmt.Fprintf(&b, " -l %s", f.Name)
			if !f.IsBool() {
				b.WriteString(fishAction(valuesOf(f)))
			}
			fmt.Fprintf(&b, " -d %s\n", strings.ReplaceAll(quote(brief(f)), `'\''`, `\'`))
		}
	}
	return b.String()
}

func fishAction(v values) string {
	switch {
	case v.words != nil:
		return " -x -a '" + strings.Join(v.words, " ") + "'"
	case v.dirs:
		return " -x -a '(__fish_complete_directories)'"
	case v.files:
		return " -r -F"
	}
	return " -x"
}

// quote quotes word for bash and zsh.
func quote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
