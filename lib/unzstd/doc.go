// Package unzstd decompresses zstd (RFC 8878) in bounded memory. The decoder is that of
// github.com/klauspost/compress; this package makes sure that of several concurrent
// readers only one has a large window at a time.
//
// A decoder keeps as much of its output as the header of a frame asks for: the window.
// zstd without --long or --ultra asks for up to 8 MiB, which each [Reader] has for
// itself. Larger windows, up to [MaxWindow], come from a [Window] that readers share. A
// reader takes it before a frame that needs it, waits if another reader has it, and
// gives it back after that frame, or after the last of several such frames in a row.
//
// To find these places a reader walks along the stream: frame headers, block headers,
// checksums, skippable frames. The walk checks nothing and passes every byte on
// unchanged; the decoder reports what is wrong. After a header that it does not
// understand, the walk passes on the rest of the stream. The decoder asks for exactly
// the bytes that it needs, so it is never ahead of the walk.
package unzstd
