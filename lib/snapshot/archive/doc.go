// Package archive reads and writes the container of an archive of snapshots: a tar of a
// narrow grammar, plain or in zstd, as a stream, in one pass. Which members there are, and
// what they are for, is the matter of a form of snapshots (form06).
//
// # Outer layer
//
// An archive that begins with 28 b5 2f fd is zstd, any other is tar. What is written is one
// frame of zstd, because msb reads no second one, with a window of at most 8 MiB.
//
// # Tar
//
// A member is a regular file (type 0, NUL or 7), a sparse file in GNU's old form (type S),
// or a directory (type 5). All else is refused: links, devices, pax headers, GNU's long
// names. So names have 100 bytes at most, or more with the prefix field of a ustar header.
//
// The byte map of a member that is written:
//
//	1  0    header: name, mode 0644, owner 0, time 0, size as stored, type, map of
//	        four runs, size of the file
//	2  512  if there are more runs: blocks with maps of 21
//	3  -    the stored data: the runs, one after the other; zeros up to 512
//
// The archive ends with two blocks of zeros. Rules for the map of a sparse file:
//
//   - runs ascend and do not overlap, and their lengths add up to the stored size;
//   - the last one ends where the file ends: a hole there is followed by an empty run;
//   - the data of each run begins at a multiple of 512 of the stored data, so that only
//     the last one may have another length.
//
// # Hash of a member
//
// With p(s) as the length of s in 8 bytes and s, and all numbers little endian in 8 bytes,
// msb-archive-member-blake3-v1 is
//
//	BLAKE3("msb-archive-member-blake3-v1\0", p(kind), p(path), stored size, size of the
//	file, number of runs, offset and length of each, the stored data)
//
// where the kind is a word that the form has for the member. A file that is not sparse has
// no runs there.
package archive
