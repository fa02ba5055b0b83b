// Package unzstd decompresses zstd (RFC 8878) in bounded memory: github.com/klauspost/compress
// decodes, and this package sees to it that of those who decode at the same time one at a
// time has a large window.
//
// A decoder keeps as much of its output as the header of a frame asks for, its window. What
// zstd writes without --long or --ultra asks for up to 8 MiB, and each [Reader] has that for
// itself. A larger one, up to MaxWindow, is in the [Window] that readers share. A reader takes
// it before a frame that needs it, gives it back behind that frame, or the last of several in
// a row, and waits where another reader has it.
//
// To know where that is a reader walks along the stream: the headers of frames, those of
// blocks, checksums, skippable frames. It checks nothing, as the decoder does that, and hands
// over every byte as it is; of a header that it does not understand, and all behind it, the
// decoder says what is wrong. The decoder asks for exactly the bytes that it needs, so that
// it is never ahead of the walk.
package unzstd
