// Package gunzip decompresses gzip (RFC 1952) and the deflate streams in it (RFC
// 1951), several times as fast as compress/gzip and without unsafe.
//
// # Speed
//
// A bit buffer of 64 bits is refilled by one load of eight bytes, mostly once for a
// match or two literals. Literals and lengths are looked up 11 bits at a time and
// distances 9 bits at a time, with a second table for the few longer codes; each entry
// says how many bits to drop, and the extra bits of most lengths are in the table. What
// costs most is a wrong guess of the processor whether a literal or a match comes next,
// so a match with one literal before it and a match with none take the same way. Matches
// are copied word by word, past their end if need be, into a buffer with room to spare.
// All this happens in one loop, which runs while at least 24 bytes of input and the room
// for a match remain; a second, careful loop handles the last bytes. The table of a block
// is made by doubling a smaller one.
//
// # More than one core
//
// See [Reader.Ahead]. The symbols of a deflate block can be decoded by anyone who
// knows where the block begins. So goroutines search later parts of the input for what
// may be a block header, and decode from there to tokens: literals, and matches that
// are not copied yet. When the Reader, which decompresses in order, reaches that very
// bit, it takes the tokens and only has to copy; if it never does, the work was in
// vain. Streams of a single block, and long runs of members or stored blocks, gain
// nothing; the goroutines soon stop trying.
//
// # What is accepted
//
// A stream is any number of members, followed by nothing or by zeros, which GNU gzip
// ignores too. The checksum and length of every member are verified. Codes are
// accepted as compress/flate accepts them: complete codes, a single code of one bit,
// or no code at all.
package gunzip
