package cli

import (
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"
)

// mdoc writes a man page in the language of mdoc(7).
type mdoc struct{ strings.Builder }

// page returns the man page of the tool, as of date.
func (m *Manual) page(model *kong.Application, date time.Time) string {
	p := &mdoc{}
	p.macro("Dd", date.Format("January 2, 2006"))
	p.macro("Dt", strings.ToUpper(m.Name)+" 1")
	p.macro("Os", "")
	p.macro("Sh", "NAME")
	p.macro("Nm", m.Name)
	p.macro("Nd", roff(strings.TrimSuffix(strings.ToLower(m.Summary[:1])+m.Summary[1:], ".")))
	p.synopsis(model)
	p.macro("Sh", "DESCRIPTION")
	p.text(m.Summary + "\n\n" + m.Description)
	if m.Needs != "" {
		p.macro("Pp", "")
		p.text(m.Needs)
	}
	p.arguments(model.Node, m.Arguments)
	p.commands(m, model)
	p.macro("Sh", "OPTIONS")
	if len(model.Children) > 0 {
		p.text("These go with every command:")
	}
	p.options(model.Node, m.flagTexts(""))
	p.environment(m, model)
	p.terms("FILES", "Pa", m.Files)
	p.exitStatus(m)
	p.examples(m.Examples)
	p.seeAlso(m.SeeAlso)
	return p.String()
}

func (p *mdoc) macro(name, args string) {
	p.WriteString(strings.TrimSpace("."+name+" "+args) + "\n")
}

func (p *mdoc) synopsis(model *kong.Application) {
	p.macro("Sh", "SYNOPSIS")
	if len(model.Children) == 0 {
		p.usage(model.Node)
	}
	for _, cmd := range model.Children {
		p.usage(cmd)
	}
}

// usage writes how the tool, or a command of it, is called.
func (p *mdoc) usage(node *kong.Node) {
	p.macro("Nm", "")
	if node.Type == kong.CommandNode {
		p.macro("Cm", roff(node.Name))
	}
	for _, f := range slices.Concat(node.AllFlags(true)...) {
		if f.Required {
			p.macro("Fl", flagName(f))
		}
	}
	p.macro("Op", "Ar options")
	for _, arg := range node.Positional {
		if arg.Required {
			p.macro("Ar", argument(arg))
		} else {
			p.macro("Op", "Ar "+argument(arg))
		}
	}
}

// argument returns a positional argument in the form that follows the macro Ar.
func argument(v *kong.Value) string {
	if v.IsCumulative() {
		return roff(v.Name) + " ..."
	}
	return roff(v.Name)
}

// flagName returns the long form of a flag, as it follows the macro Fl.
func flagName(f *kong.Flag) string {
	name := roff("-" + f.Name)
	if f.IsBool() {
		return name
	}
	return name + " Ns = Ns Ar " + roff(f.FormatPlaceHolder())
}

func (p *mdoc) arguments(node *kong.Node, more string) {
	if len(node.Positional) == 0 {
		return
	}
	p.macro("Pp", "")
	p.text("The arguments are:")
	p.macro("Bl", "-tag -width Ds")
	for _, arg := range node.Positional {
		p.macro("It", "Ar "+argument(arg))
		p.text(describe(arg))
	}
	p.macro("El", "")
	if more != "" {
		p.macro("Pp", "")
		p.text(more)
	}
}

// commands writes a section about the commands of the tool, with their arguments and flags.
func (p *mdoc) commands(m *Manual, model *kong.Application) {
	if len(model.Children) == 0 {
		return
	}
	p.macro("Sh", "COMMANDS")
	for _, cmd := range model.Children {
		p.macro("Ss", roff(cmd.Name))
		p.text(cmd.Help + "\n\n" + m.Commands[cmd.Name].Description)
		p.arguments(cmd, m.Commands[cmd.Name].Arguments)
		if len(cmd.Flags) > 0 {
			p.macro("Pp", "")
			p.text("Its options are:")
		}
		for _, g := range groups(cmd) {
			p.flags(g, m.flagTexts(cmd.Name))
		}
	}
}

func (p *mdoc) options(node *kong.Node, texts map[string]string) {
	for _, g := range groups(node) {
		p.macro("Ss", g.title)
		p.flags(g, texts)
	}
}

// flags writes a list of flags, with what texts say more about them.
func (p *mdoc) flags(g *group, texts map[string]string) {
	p.macro("Bl", "-tag -width Ds")
	for _, f := range g.flags {
		short := ""
		if f.Short != 0 {
			short = "Fl " + string(f.Short) + " , "
		}
		p.macro("It", short+"Fl "+flagName(f))
		p.text(describe(f.Value))
		if more := texts[f.Name]; more != "" {
			p.text(more)
		}
	}
	p.macro("El", "")
}

func (p *mdoc) environment(m *Manual, model *kong.Application) {
	terms := slices.Clone(m.Env)
	add := func(t Term) {
		if !slices.Contains(terms, t) {
			terms = append(terms, t)
		}
	}
	for _, node := range nodes(model) {
		for _, f := range node.Flags {
			switch f.Name {
			case "tmpdir":
				add(Term{"TMPDIR", "Directory for temporary files where neither --tmpdir nor --output says so. The default is /tmp."})
			case "mtime":
				add(Term{"SOURCE_DATE_EPOCH", "Seconds since 1970, for times that the input does not have."})
			}
		}
	}
	terms = append(terms, Term{"TERM", "Where it is empty or dumb, progress on a terminal is shown as lines."})
	p.terms("ENVIRONMENT", "Ev", terms)
}

// terms writes a section of names, each in macro.
func (p *mdoc) terms(title, macro string, terms []Term) {
	if len(terms) == 0 {
		return
	}
	p.macro("Sh", title)
	p.macro("Bl", "-tag -width Ds")
	for _, t := range terms {
		p.macro("It", macro+" "+roff(t.Name))
		p.text(t.Text)
	}
	p.macro("El", "")
}

func (p *mdoc) exitStatus(m *Manual) {
	p.macro("Sh", "EXIT STATUS")
	p.macro("Bl", "-tag -width Ds")
	for _, c := range m.exitCodes() {
		p.macro("It", c.code)
		p.text(c.text)
	}
	p.macro("El", "")
}

func (p *mdoc) examples(examples []Example) {
	p.macro("Sh", "EXAMPLES")
	for i, e := range examples {
		if i > 0 {
			p.macro("Pp", "")
		}
		p.text(e.Text + ":")
		p.literal(strings.Split(e.Command, "\n"))
	}
}

var inSection = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(.*)\((\d)\)$`)
})

// seeAlso lists pages by section, then by name: the order that mdoc wants.
func (p *mdoc) seeAlso(pages []string) {
	var refs []string
	for _, page := range pages {
		name, section := page, "1"
		if parts := inSection().FindStringSubmatch(page); parts != nil {
			name, section = parts[1], parts[2]
		}
		refs = append(refs, section+" "+name)
	}
	slices.Sort(refs)
	p.macro("Sh", "SEE ALSO")
	for i, ref := range refs {
		section, name, _ := strings.Cut(ref, " ")
		comma := " ,"
		if i == len(refs)-1 {
			comma = ""
		}
		p.macro("Xr", roff(name)+" "+section+comma)
	}
}

// text writes paragraphs, each sentence on lines of its own. Indented lines stay as they
// are.
func (p *mdoc) text(text string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if strings.HasPrefix(paragraph, "    ") {
			p.literal(strings.Split(strings.ReplaceAll(paragraph[4:], "\n    ", "\n"), "\n"))
			continue
		}
		if i > 0 {
			p.macro("Pp", "")
		}
		for _, sentence := range sentences(paragraph) {
			for _, line := range wrap(sentence, 72) {
				p.WriteString(noRequest(roff(line)) + "\n")
			}
		}
	}
}

func (p *mdoc) literal(lines []string) {
	p.macro("Bd", "-literal -offset indent")
	for _, line := range lines {
		line = special.Replace(line)
		p.WriteString(noRequest(strings.NewReplacer("-", `\-`, "'", `\(aq`).Replace(line)) + "\n")
	}
	p.macro("Ed", "")
}

var sentenceEnd = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[.:?!]\)? +`)
})

// sentences splits a paragraph: in mdoc each sentence begins a line.
func sentences(paragraph string) (all []string) {
	paragraph = strings.Join(strings.Fields(paragraph), " ")
	for {
		end := sentenceEnd().FindStringIndex(paragraph)
		if end == nil {
			return append(all, paragraph)
		}
		all = append(all, strings.TrimSpace(paragraph[:end[1]]))
		paragraph = paragraph[end[1]:]
	}
}

// wrap breaks text between words into lines of at most width bytes. A longer word stays
// whole.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

// special escapes roff's special characters, except the dash: see roff.
var special = strings.NewReplacer(`\`, `\e`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`)

// flagWord matches a word such as --progress-fd, or a dash alone.
var flagWord = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(^|[ (=|])-[^ ]*`)
})

// roff escapes text for roff. Dashes in flags stay dashes; roff makes hyphens of the
// others.
func roff(text string) string {
	return flagWord().ReplaceAllStringFunc(special.Replace(text), func(word string) string {
		return strings.ReplaceAll(word, "-", `\-`)
	})
}

// noRequest escapes line if roff would take it for a request.
func noRequest(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

// pageDate returns the date for man pages: SOURCE_DATE_EPOCH, or the time of the commit
// that the binary was built from, or else 1970.
func pageDate(epoch *int64, info *debug.BuildInfo) time.Time {
	if epoch != nil {
		return time.Unix(*epoch, 0).UTC()
	}
	if info != nil {
		for _, s := range info.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return t.UTC()
			}
		}
	}
	return time.Unix(0, 0).UTC()
}
