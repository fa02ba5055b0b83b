package main

import (
	"runtime"

	"ocipipe/lib/cli"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/z"
)

// compression are the flags about that.
type compression struct {
	Compress string    `name:"compress" short:"z" placeholder:"ALG[,LEVEL]" group:"Compression" help:"Compress contents: lz4, lz4hc, zstd, deflate or none (default)."`
	PCluster *cli.Size `name:"pcluster" placeholder:"SIZE" group:"Compression" help:"Most bytes of a cluster, 4K to 1M (default 64K)."`
	Extents  string    `enum:",index,encoded" default:"" placeholder:"index|encoded" group:"Compression" help:"How extents are listed (default index)."`
	Hints    string    `name:"compress-hints" placeholder:"FILE" group:"Compression" help:"Lines of a pattern and ALG[,LEVEL], for some of the files."`
}

// given names a flag that was given, or is empty.
func (c *compression) given() string {
	switch {
	case c.Compress != "":
		return "--compress"
	case c.Hints != "":
		return "--compress-hints"
	case c.PCluster != nil:
		return "--pcluster"
	case c.Extents != "":
		return "--extents"
	}
	return ""
}

// options returns what the flags say, or nil if nothing is compressed.
func (c *compression) options(env *cli.Env) (*erofs.Compression, error) {
	out := &erofs.Compression{
		Method: erofs.Method{Algorithm: z.Raw}, Encoded: c.Extents == "encoded", Workers: runtime.GOMAXPROCS(0),
	}
	var err error
	if c.Compress != "" {
		if out.Method, err = erofs.ParseMethod(c.Compress); err != nil {
			return nil, cli.Usage("--compress: %v", err)
		}
	}
	if c.PCluster != nil {
		if out.PCluster = int64(*c.PCluster); out.PCluster == 0 { // the usual size of the library
			return nil, cli.Usage("--pcluster: a cluster of 0 bytes holds nothing")
		}
	}
	if c.Hints != "" {
		in, err := env.Open(c.Hints)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		if out.Hints, err = erofs.ParseHints(in); err != nil {
			return nil, cli.About(c.Hints, err)
		}
	}
	if out.Algorithm != z.Raw || c.Hints != "" {
		return out, nil
	}
	rest := *c
	rest.Compress = "" // none
	if flag := rest.given(); flag != "" {
		return nil, cli.Usage("%s is about compressed files, and needs --compress", flag)
	}
	return nil, nil
}
