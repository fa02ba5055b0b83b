// Package read reads EROFS images of any writer. Open checks an image, Source yields all of
// its files as entries, and Lookup finds one without reading the others. The package also
// reads data that an image has on other devices.
//
// Package disk decodes the records. Contents are references, read from their place in the
// image only when they are needed: see Content. Images may be hostile: the package compares
// every offset and length with the length of the image before it uses it or allocates
// memory for it.
//
// # Limits
//
// Source yields compressed files, but their contents cannot be read; a package that decodes
// compressed data would be called in Image.locate. Open refuses images with 48-bit addresses
// or compressed metadata.
package read
