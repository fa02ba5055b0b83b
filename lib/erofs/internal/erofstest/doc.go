// Package erofstest has what the tests of several packages of EROFS need: entries, lists
// of them with every case that images have, and an image in memory whose records it
// finds without the reader.
package erofstest
