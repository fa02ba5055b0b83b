// Package gunzip decompresses gzip (RFC 1952) and the deflate streams in it (RFC
// 1951), several times as fast as compress/gzip and without unsafe.
//
// How it is fast. Bits are taken from a buffer of 64 that is refilled by one load
// of eight bytes, twice a match at most. Literals and lengths are looked up by 11
// bits at a time and distances by 8, with a second table for the few longer codes;
// an entry says at once how many bits to drop, those of its extra bits included.
// Up to three literals are taken between two refills, and matches are copied by
// words, past their end if need be, into a buffer with room to spare. All this
// happens in one loop that runs while at least 16 bytes of input and the room for
// a match are there; a second, careful one handles the last bytes.
//
// How it uses more than one core, if it is asked to (Ahead). To find the symbols of
// a deflate block nothing needs to be known but where it begins. So goroutines look
// in later parts of the input for what may be the header of a block and decode from
// there to tokens, literals and matches not yet copied. Who decompresses in order
// takes the tokens if it comes to that very bit, and has to copy only; otherwise
// the work was in vain. Streams of one block, or of members or stored blocks
// without end, gain nothing, and are soon left alone.
//
// What is accepted. Any number of members one behind the other, then nothing, or
// zeros, which GNU gzip ignores too. Checksum and length of every member are
// verified. Codes are accepted as compress/flate does: complete ones, a single
// code of one bit, or none at all.
package gunzip
