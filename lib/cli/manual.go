package cli

import (
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/alecthomas/kong"
)

// Manual is the documentation of a tool. --help shows the flags, the description, the
// requirements and the examples; the man page shows all of it. The help tags of the
// flags fill a line each, and Flags has what needs more.
type Manual struct {
	Name    string // of the tool
	Summary string // what it does, in one sentence
	Needs   string // what uses the output, such as the Linux that mounts it

	// Description is for the man page. Empty lines part paragraphs; indented lines stay
	// as they are.
	Description string

	Arguments string            // more about the arguments, for the man page
	Flags     map[string]string // more about a flag, by its name, for the man page
	Examples  []Example
	Env       []Term // environment variables, beside those of every tool
	Files     []Term
	SeeAlso   []string // other tools and pages: "tar2tree" or "mount(8)"
	Network   bool     // the exit code may be 75
}

// With returns m with what parts says of flags, environment and files besides.
func (m Manual) With(parts ...Manual) Manual {
	flags := maps.Clone(m.Flags)
	for _, p := range parts {
		maps.Copy(flags, p.Flags)
		m.Env = append(m.Env, p.Env...)
		m.Files = append(m.Files, p.Files...)
	}
	m.Flags = flags
	return m
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
		{"1", "failed", "Failed: bad input, a full disk, a wrong digest. A file named by --output is as it was before."},
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

// groups returns the flags that are not hidden, in the order of --help.
func groups(model *kong.Application) (all []*group) {
	byTitle := map[string]*group{}
	for _, f := range model.Flags {
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

// titleGroups gives every flag a group with the title that --help prints.
func titleGroups(model *kong.Application) {
	for _, g := range groups(model) {
		for _, f := range g.flags {
			f.Group = &kong.Group{Key: g.title, Title: g.title + ":"}
		}
	}
}

// printHelp prints the text of --help: kong's text with examples and exit codes.
func (m *Manual) printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	var b strings.Builder
	if len(m.Examples) > 0 {
		b.WriteString("\nExamples:\n")
	}
	for _, e := range m.Examples {
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

// flagTexts returns the longer texts of the tool's flags and of those that it shares.
func (m *Manual) flagTexts() map[string]string {
	texts := maps.Clone(sharedTexts)
	maps.Copy(texts, m.Flags)
	return texts
}

// checkFlags panics if Flags has a flag that the tool does not have.
func (m *Manual) checkFlags(model *kong.Application) {
	known := map[string]bool{}
	for _, f := range model.Flags {
		known[f.Name] = true
	}
	for name := range m.Flags {
		if !known[name] {
			panic(m.Name + ": there is no flag --" + name + " to explain")
		}
	}
}
