// Package erofsflags has the flags about EROFS images that several tools have.
package erofsflags

import (
	"runtime"

	"ocipipe/lib/cli"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/z"
)

// Compression are the flags about the compression of contents.
type Compression struct {
	Compress string    `name:"compress" short:"z" placeholder:"ALG[,LEVEL]" group:"Compression" help:"lz4, lz4hc, zstd, deflate or none (default)."`
	PCluster *cli.Size `name:"pcluster" placeholder:"SIZE" group:"Compression" help:"Size of a cluster, 4K to 1M (default 64K)."`
	Extents  string    `enum:",index,encoded" default:"" placeholder:"index|encoded" group:"Compression" help:"How extents are listed (default index)."`
	Hints    string    `name:"compress-hints" placeholder:"FILE" group:"Compression" help:"Lines of PATTERN ALG[,LEVEL], for some files."`
}

// Given names a flag that was given, or is empty.
func (c *Compression) Given() string {
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

// Options returns what the flags say, or nil if nothing is compressed. It reads the hints.
func (c *Compression) Options(env *cli.Env) (*erofs.Compression, error) {
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
	if flag := rest.Given(); flag != "" {
		return nil, cli.Usage("%s is about compressed files, and needs --compress", flag)
	}
	return nil, nil
}
