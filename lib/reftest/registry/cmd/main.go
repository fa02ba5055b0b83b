// Cmd is the registry for tests as a process:
//
//	cmd [FLAGS] serve                    serves until it is killed; first it prints shell
//	                                     variables: registry=HOST:PORT storage=... control=...
//	cmd certs DIR                        writes ca.pem, server.pem, server.key, client.pem, client.key
//	cmd -image REPO:TAG=NxSIZE layout DIR    writes an OCI layout
//
// While it serves it is controlled by HTTP at control: PUT /behave with a
// registry.Behaviour in JSON, GET /stats, POST /reset.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"ocipipe/lib/reftest/registry"
)

func main() {
	var (
		conf            registry.Config
		layouts, images list
		behave, certs   string
	)
	flag.Var(&layouts, "layout", "REPO=DIR: serve an OCI layout; may be repeated")
	flag.Var(&images, "image", "REPO:TAG=NxSIZE: serve an image of N layers of SIZE bytes; may be repeated")
	flag.StringVar(&behave, "behave", "{}", "behaviour at first, in JSON")
	flag.StringVar(&conf.Addr, "addr", "", "where the registry listens")
	flag.BoolVar(&conf.TLS, "tls", false, "speak https")
	flag.StringVar(&certs, "certs", "", "with -tls: write the certificates that a client needs to this directory")
	flag.BoolVar(&conf.ClientCert, "client-cert", false, "with -tls: ask for a certificate of the client")
	flag.BoolVar(&conf.HTTP2, "http2", false, "with -tls: speak HTTP/2")
	flag.Parse()
	var err error
	switch what, dir := flag.Arg(0), flag.Arg(1); {
	case what == "serve" && dir == "":
		err = serve(conf, certs, behave, layouts, images)
	case what == "certs" && dir != "":
		err = makeCerts(dir)
	case what == "layout" && dir != "":
		s := registry.New()
		if err = addImages(s, images); err == nil {
			err = s.WriteLayout(dir)
		}
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func serve(conf registry.Config, certs, behave string, layouts, images []string) error {
	var b registry.Behaviour
	if err := json.Unmarshal([]byte(behave), &b); err != nil {
		return err
	}
	s, err := registry.Start(conf)
	if err != nil {
		return err
	}
	s.Behave(b)
	if certs != "" && s.Certs != nil {
		if err := s.Certs.Write(certs); err != nil {
			return err
		}
	}
	for _, l := range layouts {
		repo, dir, _ := strings.Cut(l, "=")
		if err := s.AddLayout(repo, dir); err != nil {
			return err
		}
	}
	if err := addImages(s, images); err != nil {
		return err
	}
	fmt.Printf("registry=%s storage=%s control=%s\n", s.Host, s.Storage, s.Control)
	select {}
}

// addImages adds images. Their layers differ from one another, and are the same each time.
func addImages(s *registry.Server, images []string) error {
	for i, image := range images {
		name, shape, _ := strings.Cut(image, "=")
		repo, tag, _ := strings.Cut(name, ":")
		count, size, _ := strings.Cut(shape, "x")
		n, err := strconv.Atoi(count)
		if err != nil {
			return fmt.Errorf("image %q: %w", image, err)
		}
		bytes, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("image %q: %w", image, err)
		}
		var layers [][]byte
		for j := range n {
			layers = append(layers, registry.Layer(uint64(i*1000+j), bytes))
		}
		s.AddImage(repo, tag, layers...)
	}
	return nil
}

func makeCerts(dir string) error {
	c, err := registry.MakeCerts()
	if err != nil {
		return err
	}
	return c.Write(dir)
}
