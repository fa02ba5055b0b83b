// Package disk has the records of an EROFS image: their fields, limits and feature
// bits, and functions that encode and decode them. The writer, the readers and other code
// that has to recognise an image share it, so every offset stands in one place.
//
// The authority is fs/erofs/erofs_fs.h of Linux 6.15; a function whose rules are elsewhere
// in the kernel names the place. All numbers are little endian. Encoders take values that
// fit. Decoders take slices that are long enough, and check only what they say.
//
// The package also has the xattrs with which a layer image marks what only a layer has,
// because the writer stores them and the readers remove them.
//
// # Limits
//
// Images with compressed metadata, or with addresses that need more than 32 bits, are not
// supported. The headers and indexes of compressed data are not in this package but in z,
// beside the codecs.
package disk
