package cachedir

import "ocipipe/lib/cli"

// About says more about the flag, for man pages.
var About = cli.Manual{
	Flags: map[string]string{
		"cache": "Without this flag it is $OCIPIPE_CACHE, or ocipipe in $XDG_CACHE_HOME, by default ~/.cache/ocipipe.",
	},
	Env: []cli.Term{
		{Name: "OCIPIPE_CACHE", Text: "Directory of the cache; --cache comes before it."},
		{Name: "XDG_CACHE_HOME", Text: "Directory in which the cache is by default."},
	},
	Files: []cli.Term{
		{Name: "~/.cache/ocipipe", Text: "The cache, an OCI layout."},
	},
}
