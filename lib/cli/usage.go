package cli

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// usageRules put messages of kong, regular expressions, into plainer words, with what stands in
// parentheses.
var usageRules = []struct {
	kong, plain string
}{
	{`^(--[^:]+): expected .* value but got "EOL" \(<EOL>\)$`, "$1: value is missing"},
	{`^(--[^:]+): expected .* value but got "(-.*)" \((?:short|long) flag\); perhaps try .*$`,
		`$1: value is missing: "$2" looks like a flag; $1=$2 makes it the value`},
	{`^(--[^:]+): expected a valid \d+ bit u?int but got ("\d+")$`, "$1: $2 is too large"},
	{`^(--[^:]+): expected a valid \d+ bit u?int but got (".*")$`, "$1: $2 is not a whole number"},
	{`^(--[^:]+): (?:invalid checksum digest (?:format|length)|unsupported digest algorithm)$`,
		"$1: not a digest: want sha256: and 64 hex digits"},
	{`^(--[^:]+): expected duration but got (".*"): time: .*$`, "$1: $2 is not a time such as 500ms, 30s or 5m"},
	{`^(--[^:]+): expected "<key>=<value>" but got (".*")$`, "$1: $2 is not NAME=VALUE"},
	{`^(--[^:]+): bool value must be .* but got (".*")$`, "$1: $2 is neither true nor false"},
	{`^--[^:]+: (.*) \(from envar (\w+)=.*\)$`, "$$$2: $1"},
	{`^expected "(<.*)"$`, "argument is missing: $1"},
	{`^missing flags: (.*)$`, "flag is missing: $1"},
	{`^(.*) can't be used together$`, "$1 exclude each other"},
}

// choice is how kong lists the values of a flag.
const choice = `^(--[^ ]+) must be one of (.*) but got (".*")$`

// usageText returns the message of kong in plainer words.
func usageText(model *kong.Application, err error) string {
	text := err.Error()
	if word, ok := strings.CutPrefix(text, "unexpected argument "); ok && len(model.Children) > 0 && selected(nil, err) == "" {
		word, _, _ = strings.Cut(word, ", did you mean ")
		return fmt.Sprintf("%q is not a command: want %s", word, listCommands(model))
	}
	for _, r := range usageRules {
		if said := regexp.MustCompile(r.kong); said.MatchString(text) {
			return said.ReplaceAllString(text, r.plain)
		}
	}
	if m := regexp.MustCompile(choice).FindStringSubmatch(text); m != nil {
		values := strings.TrimPrefix(strings.ReplaceAll(m[2], `"`, ""), ",") // "" is the default
		return fmt.Sprintf("%s: %s is none of %s", m[1], m[3], strings.ReplaceAll(values, ",", ", "))
	}
	return text
}
