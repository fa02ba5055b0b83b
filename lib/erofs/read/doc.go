// Package read reads EROFS images of any writer: Open checks an image, Source yields all
// of its files as entries, and Lookup finds one without reading the others. Data that an
// image has on other devices is read from these.
//
// Only package disk knows records, and contents are read when they are asked for, from
// where they lie: see Content. Nothing that the image says is believed before it has been
// compared with the length of the image, and nothing is allocated by it before.
//
// # What is not in here
//
// Compressed files are listed, but their content is refused. A package that decodes
// compressed data will be asked where Image.locate meets such an inode. Images with 48-bit
// addresses or compressed metadata are refused as a whole.
package read
