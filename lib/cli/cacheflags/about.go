package cacheflags

import "ocipipe/lib/cli"

// About says more about the flags, for man pages.
var About = cli.Manual{
	Flags: map[string]string{
		"cache":        "Without this flag it is $OCIPIPE_CACHE, or ocipipe in $XDG_CACHE_HOME, by default ~/.cache/ocipipe.",
		"verify-cache": "A corrupt blob is fetched again.",
		"pull":         "if-missing asks for a tag that is not in the cache, always asks and still takes blobs from the cache, and never does without a network.",
	},
	Env: []cli.Term{
		{Name: "OCIPIPE_CACHE", Text: "Directory of the cache; --cache comes before it."},
		{Name: "XDG_CACHE_HOME", Text: "Directory in which the cache is by default."},
	},
	Files: []cli.Term{
		{Name: "~/.cache/ocipipe", Text: "The cache, an OCI layout."},
	},
}
