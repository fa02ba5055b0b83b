package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Manual is the documentation of a tool. --help shows the flags, the description, the
// requirements and the examples; the man page shows all of it. The help tags of the
// flags fill a line each, and Flags has what needs more.
type Manual struct {
	Name    string // of the tool
	Summary string // what it does, in one sentence
	Needs   string // what uses the output, such as the Linux that mounts it; in the form of Description

	// Description is for the man page. Empty lines part paragraphs; indented lines stay
	// as they are.
	Description string

	Arguments string            // more about the arguments, for the man page
	Flags     map[string]string // more about a flag, by its name, for the man page
	Examples  []Example
	Commands  map[string]Command // more about a command, by its name, for the man page
	Env       []Term             // environment variables, beside those of every tool
	Files     []Term
	SeeAlso   []string // other tools and pages: "tar2tree" or "mount(8)"
	Network   bool     // the exit code may be 75
}

// With returns m with what parts say of flags, environment and files besides. Of a flag it
// keeps what m says.
func (m Manual) With(parts ...Manual) Manual {
	flags := map[string]string{}
	for _, p := range parts {
		maps.Copy(flags, p.Flags)
		m.Env = append(m.Env, p.Env...)
		m.Files = append(m.Files, p.Files...)
	}
	maps.Copy(flags, m.Flags)
	m.Flags = flags
	return m
}

// Command is the documentation of one command of a tool, for the man page.
type Command struct {
	Description string            // in the form of Manual.Description
	Arguments   string            // more about its arguments
	Flags       map[string]string // more about its flags
}

// Example is a command line and what it does.
type Example struct{ Text, Command string }

// Term is a name with its explanation.
type Term struct{ Name, Text string }

// exitCode is what an exit code means, in few words and in a sentence.
type exitCode struct{ code, brief, text string }

func (m *Manual) exitCodes() []exitCode {
	codes := []exitCode{
		{"0", "done", "Done; the output is complete."},
		{"1", "failed", "Failed: bad input, a full disk, a wrong digest. A file named by --output is as it was before, unless only a report could not be written."},
		{"2", "wrong usage", "Wrong usage, such as an unknown flag, or a terminal where binary data would go."},
	}
	if m.Network {
		codes = append(codes, exitCode{"75", "network failed: try again", "The network or the registry failed in a way that is worth another try."})
	}
	return append(codes, exitCode{"128+n", "signal n", "Ended by signal n."})
}

// group is the flags under one heading.
type group struct {
	title string
	flags []*kong.Flag
}

const ungrouped = "Options"

// groups returns the flags that are not hidden, in the order of --help: those of the tool,
// or those of a command alone.
func groups(node *kong.Node) (all []*group) {
	byTitle := map[string]*group{}
	for _, f := range node.Flags {
		if f.Hidden {
			continue
		}
		title := ungrouped
		if f.Group != nil {
			title = f.Group.Key
		}
		if byTitle[title] == nil {
			byTitle[title] = &group{title: title}
			all = append(all, byTitle[title])
		}
		byTitle[title].flags = append(byTitle[title].flags, f)
	}
	return all
}

// nodes returns the tool and its commands.
func nodes(model *kong.Application) []*kong.Node {
	return append([]*kong.Node{model.Node}, model.Children...)
}

// listCommands returns the names of the commands of a tool, for a message.
func listCommands(model *kong.Application) string {
	return strings.Join(commandNames(model), ", ")
}

func commandNames(model *kong.Application) (names []string) {
	for _, cmd := range model.Children {
		names = append(names, cmd.Name)
	}
	return names
}

// titleGroups gives every flag a group with the title that --help prints.
func titleGroups(model *kong.Application) {
	for _, node := range nodes(model) {
		for _, g := range groups(node) {
			for _, f := range g.flags {
				f.Group = &kong.Group{Key: g.title, Title: g.title + ":"}
			}
		}
	}
}

// printHelp prints the text of --help: kong's text with examples and exit codes. That of a
// command shows its own flags first, and the examples in which it occurs.
func (m *Manual) printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	examples := m.Examples
	options.Compact, options.FlagsLast = true, true
	if cmd := ctx.Selected(); cmd != nil {
		cmd.Flags = append(cmd.Flags, cmd.Parent.Flags...)
		cmd.Parent.Flags = nil
		examples = slices.DeleteFunc(slices.Clone(examples), func(e Example) bool {
			return !strings.Contains(e.Command, m.Name+" "+cmd.Name)
		})
	}
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	var b strings.Builder
	if len(examples) > 0 {
		b.WriteString("\nExamples:\n")
	}
	for _, e := range examples {
		fmt.Fprintf(&b, "  # %s\n  %s\n", e.Text, strings.ReplaceAll(e.Command, "\n", "\n  "))
	}
	var codes []string
	for _, c := range m.exitCodes() {
		codes = append(codes, c.code+" "+c.brief)
	}
	fmt.Fprintf(&b, "\nExit codes:\n  %s\n\nMore about the flags: man %s\n", strings.Join(codes, ", "), m.Name)
	_, err := io.WriteString(ctx.Stdout, b.String())
	return err
}

// about returns the text at the top of --help.
func (m *Manual) about() string {
	return strings.TrimSpace(m.Summary + "\n\n" + m.Needs)
}

// flagTexts returns the longer texts of the tool's flags, of those that it shares, and of
// those of the command called name, if that is not "".
func (m *Manual) flagTexts(name string) map[string]string {
	texts := maps.Clone(sharedTexts)
	maps.Copy(texts, m.Flags)
	maps.Copy(texts, m.Commands[name].Flags)
	return texts
}

// check panics if the manual has a flag or a command that the tool does not have, or if a
// command has commands of its own, which nothing here shows.
func (m *Manual) check(model *kong.Application) {
	names := commandNames(model)
	for name := range m.Commands {
		if !slices.Contains(names, name) {
			panic(m.Name + ": there is no command " + name + " to explain")
		}
	}
	m.checkFlags(m.Flags, nodes(model)...)
	for _, cmd := range model.Children {
		if len(cmd.Children) > 0 || cmd.Hidden || len(cmd.Aliases) > 0 {
			panic(m.Name + ": command " + cmd.Name + " has commands, is hidden or has aliases")
		}
		m.checkFlags(m.Commands[cmd.Name].Flags, cmd)
	}
}

// checkFlags panics if texts has a flag that none of nodes has.
func (m *Manual) checkFlags(texts map[string]string, nodes ...*kong.Node) {
	known := map[string]bool{}
	for _, node := range nodes {
		for _, f := range node.Flags {
			known[f.Name] = true
		}
	}
	for name := range texts {
		if !known[name] {
			panic(m.Name + ": there is no flag --" + name + " to explain")
		}
	}
}
