// Package pull opens images by any reference, those in registries too. What a registry
// sends goes into a cache, if there is one, and is taken from there the next time: see
// Options.Cache and Policy. Several layers arrive at a time, in the cache or in spool
// files, and can be read while they do.
//
//	img, err := pull.Open(ctx, "docker.io/library/alpine", pull.Options{Cache: store})
//	...
//	defer img.Close()
//	err = oci.WriteArchive(ctx, w, img.Image)
//	...
//	img.Record(ctx) // the next Open finds it without asking the registry
//
// Package oci, which this one builds on, has what an image is, and reads the images in
// files; package registry speaks to registries. A program that needs no network uses
// package oci alone, and does not link net/http.
//
// The context of Open bounds the opening. Downloads belong to the image: they go on
// until they are done or the image is closed, whatever becomes of that context. A
// reader of a layer waits no longer than the context allows that Layer.Open was given.
package pull
