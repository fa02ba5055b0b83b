// Package disk has the records of an EROFS image: their fields, limits and feature
// bits, and functions that encode and decode them. Writer, readers and whatever else
// must recognise an image share it, so that no offset is counted twice.
//
// The authority is fs/erofs/erofs_fs.h of Linux 6.15; functions whose rules stand
// elsewhere in the kernel name the place. Everything is little endian. Encoders take
// values that fit; decoders take bytes that the caller has bounded, and check only what
// they say they check.
//
// The xattrs by which this project marks what only a layer has are here too, because
// the writer stores them and the readers turn them back.
//
// # What is not in here
//
// Images with 48-bit addresses, compressed metadata, and the records of compressed
// data: their indexes and headers belong to a package beside this one that holds the
// codecs.
package disk
