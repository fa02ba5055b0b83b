// Package pull opens images by any reference, those in registries too. It keeps what a
// registry sends in a cache, if there is one, and takes it from there the next time: see
// Options.Cache and Policy. It downloads several layers at a time, to the cache or to
// spool files; they can be read while they arrive.
//
//	img, err := pull.Open(ctx, "docker.io/library/alpine", pull.Options{Cache: store})
//	...
//	defer img.Close()
//	err = oci.WriteArchive(ctx, w, img.Image)
//	...
//	img.Record(ctx) // the next Open finds it without asking the registry
//
// Package oci, which this one builds on, defines images and reads those in files; package
// registry speaks to registries. A program that needs no network uses package oci alone,
// and does not link net/http.
//
// The end of the context of Open ends the opening. Downloads belong to the image: they go
// on until they are done or the image is closed, whatever becomes of that context. A
// reader of a layer waits no longer than the context of Layer.Open allows.
package pull
