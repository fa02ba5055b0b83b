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

// values is what completes the value of a flag, or an argument.
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

// argumentsOf returns what completes the arguments of a tool or a command, all in one.
func argumentsOf(node *kong.Node) (all values) {
	for _, arg := range node.Positional {
		v := argumentOf(arg)
		all.words = append(all.words, v.words...)
		all.files = all.files || v.files
	}
	return all
}

// argumentOf returns what completes an argument: the words in its tag completion, of which
// "none" alone is for nothing, and without the tag files.
func argumentOf(arg *kong.Positional) values {
	switch words := arg.Tag.Get("completion"); words {
	case "":
		return values{files: true}
	case "none":
		return values{}
	default:
		return values{words: strings.Fields(words)}
	}
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
	function := "_" + strings.ReplaceAll(m.Name, "-", "_")
	fmt.Fprintf(&b, `# bash completion for %s
%s() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} equals=
	if [[ $cur == = ]]; then
		cur= equals=1
	elif [[ $prev == = && COMP_CWORD -gt 1 ]]; then
		prev=${COMP_WORDS[COMP_CWORD-2]} equals=1
	fi
`, m.Name, function)
	if len(model.Children) == 0 {
		b.WriteString("\tcase $prev in\n" + bashFlagValues("", model.Node))
	} else {
		fmt.Fprintf(&b, `	local command= i
	for ((i = 1; i < COMP_CWORD && !${#command}; i++)); do
		case ${COMP_WORDS[i]} in
		%s)
			command=${COMP_WORDS[i]}
			;;
		esac
	done
	case $command:$prev in
`, strings.Join(commandNames(model), " | "))
		for _, cmd := range model.Children {
			b.WriteString(bashFlagValues(cmd.Name+":", cmd))
		}
		b.WriteString(bashFlagValues("*:", model.Node))
	}
	b.WriteString("\tesac\n\tif [[ $equals ]]; then\n\t\tCOMPREPLY=()\n")
	for _, cmd := range model.Children {
		own, common := flagWords(cmd), flagWords(model.Node)
		fmt.Fprintf(&b, "\telif [[ $command == %s && $cur == -* ]]; then\n\t\t%s\n", cmd.Name, bashWords(append(own, common...)))
		fmt.Fprintf(&b, "\telif [[ $command == %s ]]; then\n\t\t%s\n", cmd.Name, bashAction(argumentsOf(cmd)))
	}
	fmt.Fprintf(&b, "\telif [[ $cur == -* ]]; then\n\t\t%s\n\telse\n\t\t", bashWords(flagWords(model.Node)))
	if len(model.Children) > 0 {
		b.WriteString(bashWords(commandNames(model)))
	} else {
		b.WriteString(bashAction(argumentsOf(model.Node)))
	}
	fmt.Fprintf(&b, "\n\tfi\n}\ncomplete -F %s %s\n", function, m.Name)
	return b.String()
}

// bashFlagValues returns a case for each flag of node that takes a value. prefix stands
// before the pattern.
func bashFlagValues(prefix string, node *kong.Node) string {
	var b strings.Builder
	for _, g := range groups(node) {
		for _, f := range g.flags {
			if !f.IsBool() {
				pattern := prefix + strings.Join(spellings(f), " | "+prefix)
				fmt.Fprintf(&b, "\t%s)\n\t\t%s\n\t\treturn\n\t\t;;\n", pattern, bashAction(valuesOf(f)))
			}
		}
	}
	return b.String()
}

// flagWords returns all spellings of the flags of node.
func flagWords(node *kong.Node) (all []string) {
	for _, g := range groups(node) {
		for _, f := range g.flags {
			all = append(all, spellings(f)...)
		}
	}
	return all
}

func bashAction(v values) string {
	switch {
	case v.words != nil && v.files:
		return fmt.Sprintf(`compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -W '%s' -- "$cur")`, strings.Join(v.words, " "))
	case v.words != nil:
		return bashWords(v.words)
	case v.dirs:
		return bashFiles("-d")
	case v.files:
		return bashFiles("-f")
	}
	return "COMPREPLY=()"
}

func bashWords(words []string) string {
	return fmt.Sprintf(`mapfile -t COMPREPLY < <(compgen -W '%s' -- "$cur")`, strings.Join(words, " "))
}

// bashFiles completes file names; kind is the flag of compgen, -f for files or -d for
// directories.
func bashFiles(kind string) string {
	return `compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen ` + kind + ` -- "$cur")`
}

// zshCompletion returns a call of _arguments, zsh's function for completing flags. With
// commands there is one for the words up to the command, and one for each command.
func zshCompletion(m *Manual, model *kong.Application) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n\n", m.Name)
	if len(model.Children) == 0 {
		b.WriteString("_arguments -S" + zshSpecs("\t", model.Node))
		b.WriteString("\n")
		return b.String()
	}
	var commands []string
	for _, cmd := range model.Children {
		commands = append(commands, cmd.Name+`\:`+quoteDouble(zshEscape(strings.TrimSuffix(cmd.Help, "."))))
	}
	b.WriteString("local state line\ntypeset -A opt_args\n_arguments -S -C -A '-*'" + zshSpecs("\t", model.Node))
	b.WriteString(" \\\n\t" + quote("1:command:(("+strings.Join(commands, " ")+"))") + " \\\n\t'*:: :->arguments'\n")
	b.WriteString("[[ $state == arguments ]] || return\ncase $words[1] in\n")
	for _, cmd := range model.Children {
		fmt.Fprintf(&b, "%s)\n\t_arguments -S%s%s\n\t;;\n", cmd.Name, zshSpecs("\t\t", cmd), zshSpecs("\t\t", model.Node))
	}
	b.WriteString("esac\n")
	return b.String()
}

// zshSpecs returns a specification for each flag and argument of node, each on a line that
// begins with indent.
func zshSpecs(indent string, node *kong.Node) string {
	var b strings.Builder
	line := func(spec string) { b.WriteString(" \\\n" + indent + quote(spec)) }
	for _, g := range groups(node) {
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
				line(spec)
			}
		}
	}
	for _, arg := range node.Positional {
		number := ""
		if arg.IsCumulative() {
			number = "*"
		}
		line(number + ":" + zshEscape(arg.Name) + ":" + zshArgument(arg))
	}
	return b.String()
}

func zshArgument(arg *kong.Positional) string {
	if action := zshAction(argumentOf(arg)); action != " " {
		return action
	}
	return "()"
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

// fishCompletion returns a call of complete for each flag and command; fish completes file
// names by itself.
func fishCompletion(m *Manual, model *kong.Application) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion for %s\n", m.Name)
	seen := "__fish_seen_subcommand_from"
	for _, cmd := range model.Children {
		fmt.Fprintf(&b, "complete -c %s -n 'not %s %s' -f -a %s -d %s\n", m.Name, seen, strings.Join(commandNames(model), " "), cmd.Name, fishText(cmd.Help))
	}
	if len(model.Children) == 0 {
		fishNode(&b, "complete -c "+m.Name, model.Node)
		return b.String()
	}
	for _, cmd := range model.Children {
		fishNode(&b, fmt.Sprintf("complete -c %s -n '%s %s'", m.Name, seen, cmd.Name), cmd)
	}
	fishFlags(&b, "complete -c "+m.Name, model.Node)
	return b.String()
}

// fishNode writes the flags of node, the words that are its arguments, and that it takes no
// files if that is so. Each line
// begins with complete.
func fishNode(b *strings.Builder, complete string, node *kong.Node) {
	arguments := argumentsOf(node)
	if !arguments.files {
		fmt.Fprintf(b, "%s -f\n", complete)
	}
	if arguments.words != nil {
		fmt.Fprintf(b, "%s -a '%s'\n", complete, strings.Join(arguments.words, " "))
	}
	fishFlags(b, complete, node)
}

func fishFlags(b *strings.Builder, complete string, node *kong.Node) {
	for _, g := range groups(node) {
		for _, f := range g.flags {
			b.WriteString(complete)
			if f.Short != 0 {
				fmt.Fprintf(b, " -s %c", f.Short)
			}
			fmt.Fprintf(b, " -l %s", f.Name)
			if !f.IsBool() {
				b.WriteString(fishAction(valuesOf(f)))
			}
			fmt.Fprintf(b, " -d %s\n", fishText(f.Help))
		}
	}
}

// fishText quotes a help text without its full stop.
func fishText(help string) string {
	return strings.ReplaceAll(quote(strings.TrimSuffix(help, ".")), `'\''`, `\'`)
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

// quoteDouble quotes text in double quotes.
func quoteDouble(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(text) + `"`
}
