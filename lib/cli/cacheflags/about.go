package cacheflags

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cachedir"
)

// About says more about the flags, for man pages.
var About = (cli.Manual{
	Flags: map[string]string{
		"verify-cache": "A corrupt blob is fetched again.",
		"pull":         "if-missing asks for a tag that is not in the cache, always asks and still takes blobs from the cache, and never does without a network.",
	},
}).With(cachedir.About)
