#!/usr/bin/env python3
"""Drops documentation and locales from a tree stream, and passes all else as it is.

Written from lib/tree/FORMAT.md alone, to show that a stage can be replaced. Usage:

    tar2tree image.tar | drop-docs.py [--no-crc] [DIRECTORY...] | tree2erofs > rootfs.erofs

A file outside that is a hard link to one that is dropped takes over its content.
"""

import bisect
import os
import re
import signal
import sys
import tempfile
import zlib

DROPPED = ["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale"]
MAX_LINE = 1 << 20
CHUNK = 1 << 20


class Fault(Exception):
    """What is wrong with the input."""


class Aborted(Exception):
    """An earlier stage failed, and this is what it says."""


class Input:
    """The stream, with its CRC and the last bytes that were read."""

    def __init__(self, file):
        self.file, self.crc, self.tail = file, 0, b""

    def take(self, data):
        self.tail = (self.tail + data)[-4096:]
        return data

    def line(self):
        """A line without its LF, and the CRC of all before it."""
        before = self.crc
        line = self.take(self.file.readline(MAX_LINE))
        self.crc = zlib.crc32(line, before)
        if not line.endswith(b"\n"):
            if len(line) == MAX_LINE:
                raise Fault("line longer than 1 MiB")
            raise Fault("stream is cut short")
        return line[:-1], before

    def data(self, size):
        """The pieces of a payload, and the LF behind it."""
        left = size + 1
        while left > 0:
            piece = self.take(self.file.read(min(left, CHUNK)))
            if not piece:
                raise Fault("stream is cut short")
            self.crc = zlib.crc32(piece, self.crc)
            left -= len(piece)
            if left == 0 and not piece.endswith(b"\n"):
                raise Fault("no LF behind a payload")
            yield piece

    def cause(self):
        """The message of an abort line at the end of the input, or None."""
        while piece := self.file.read(CHUNK):
            self.take(piece)
        found = re.search(rb"\n#abort message=([^\n]{0,1024})\n\Z", self.tail)
        return found and found[1]


class Output:
    """The stream that is written, its counts and its CRC."""

    def __init__(self, file):
        self.file, self.crc = file, 0
        self.records = self.bytes = 0

    def write(self, data):
        self.crc = zlib.crc32(data, self.crc)
        self.file.write(data)


def unescape(text):
    return re.sub(rb"\\([0-3][0-7][0-7])", lambda m: bytes([int(m[1], 8)]), text)


def decode(path):
    """A path as it is written, decoded and without the ./ in front."""
    return unescape(path)[2:]


def show(text):
    return text.decode(errors="replace")


def escape(data):
    plain = set(range(0x21, 0x7F)) - set(b"\\#*?[=")
    return b"".join(bytes([c]) if c in plain else b"\\%03o" % c for c in data)


class Inode:
    """A file that is dropped, until a name outside takes it over."""

    def __init__(self, words, at, size):
        self.words, self.at, self.size = words, at, size
        self.outside = {}  # its names there, in the order in which they came


class Names:
    """Names of files outside, each with its inode."""

    def __init__(self):
        self.inodes, self.sorted = {}, []

    def add(self, name, inode):
        self.inodes[name] = inode
        inode.outside[name] = True
        bisect.insort(self.sorted, name)

    def replace(self, path, is_dir):
        """Forgets the names that a record of path replaces: files above it too, and what is below a file."""
        first, last = (bisect.bisect_left(self.sorted, path + c) for c in (b"/", b"0"))
        gone = [] if is_dir else self.sorted[first:last]
        while path:
            gone.append(path)
            path = path.rpartition(b"/")[0]
        for name in gone:
            if inode := self.inodes.pop(name, None):
                del inode.outside[name]
                del self.sorted[bisect.bisect_left(self.sorted, name)]


class Dropped:
    """What was dropped, since hard links may lead there. Paths are decoded, without a ./ in front."""

    def __init__(self, tops, spool):
        self.tops, self.spool = tops, spool
        self.inodes = {}  # by path
        self.names = Names()  # outside, of what was dropped

    def has(self, path):
        return any(path == top or path.startswith(top + b"/") for top in self.tops)

    def add(self, path, record, pieces):
        """Keeps a record and its payload."""
        target = record.words.get(b"hardlink")
        if record.words[b"type"] == b"dir":
            self.inodes.pop(path, None)
        elif target is None or b"lower" in record.words:
            at = self.spool.seek(0, os.SEEK_END)
            for piece in pieces:
                self.spool.write(piece)
            own = [w for w in record.rest if not w.startswith(b"below=")]  # that is about this name alone
            self.inodes[path] = Inode(own, at, record.size)
        elif self.has(decode(target)):
            self.inodes[path] = self.inode(target)
        else:  # another name of a file that stays
            if decode(target) not in self.names.inodes:
                self.names.add(decode(target), Inode(None, 0, 0))
            self.inodes[path] = self.names.inodes[decode(target)]

    def inode(self, target):
        if decode(target) not in self.inodes:
            raise Fault("hard link to %s, which does not exist" % show(target))
        return self.inodes[decode(target)]

    def resolve(self, path, record):
        """The words of a hard link to what was dropped, and the payload that it takes over."""
        inode = self.inode(record.words[b"hardlink"])
        for name in inode.outside:
            link = b"hardlink=./" + escape(name)
            return [link if w.startswith(b"hardlink=") else w for w in record.rest], None
        if inode.words is None:
            raise Fault("hard link to %s, of which no other name is left" % show(record.words[b"hardlink"]))
        self.names.add(path, inode)
        return inode.words + [w for w in record.rest if w.startswith(b"below=")], inode

    def payload(self, inode):
        """The pieces of the payload of an inode, and the LF behind it."""
        self.spool.seek(inode.at)
        left = inode.size and inode.size + 1
        while left > 0:
            piece = self.spool.read(min(left, CHUNK))
            left -= len(piece)
            yield piece


class Record:
    """A line: its path as it is written, its words, and how many bytes of content follow."""

    def __init__(self, line, inline):
        self.path, *self.rest = line.split(b" ")
        self.words = dict(w.partition(b"=")[::2] for w in self.rest)
        self.size = payload_size(self.words, inline)
        if self.path != b"." and not self.path.startswith(b"./"):
            raise Fault("neither record nor end line")


def number(text):
    if not re.fullmatch(rb"0|[1-9][0-9]*", text):
        raise Fault("%s is not a number" % show(text))
    return int(text)


def payload_size(words, inline):
    """How many bytes of content follow a record."""
    if words[b"type"] != b"file" or b"hardlink" in words or not inline:
        return 0
    extents = words.get(b"extents")
    if extents is None:
        return number(words[b"size"])
    if extents == b"-":
        return 0
    return sum(number(x.partition(b"+")[2]) for x in extents.split(b","))


def check_end(line, records, size, crc):
    found = re.fullmatch(rb"#end records=(\d+) bytes=(\d+)(?: crc32=([0-9a-fA-F]{8}))?", line)
    if not found or (int(found[1]), int(found[2])) != (records, size):
        raise Fault("wrong end line")
    if found[3] and int(found[3], 16) != crc:
        raise Fault("wrong CRC-32")


def copy(src, dst, dropped, with_crc):
    head, _ = src.line()
    if head not in (b"#mtree ocipipe-tree 1 data=inline", b"#mtree ocipipe-tree 1 data=none"):
        raise Fault("not a tree stream")
    dst.write(head + b"\n")
    records = size = 0
    while True:
        line, crc = src.line()
        if line.startswith(b"#:"):
            continue  # the tree changes, so properties go
        if line.startswith(b"#end "):
            break
        record = Record(line, head.endswith(b"inline"))
        records, size = records + 1, size + record.size
        pieces = src.data(record.size) if record.size else ()
        one(record, pieces, dst, dropped)
    check_end(line, records, size, crc)
    if src.take(src.file.read(1)):
        raise Fault("data after the end line")
    end = b"#end records=%d bytes=%d" % (dst.records, dst.bytes)
    dst.file.write(end + (b" crc32=%08x\n" % dst.crc if with_crc else b"\n"))
    dst.file.flush()


def one(record, pieces, dst, dropped):
    """Writes a record, or what becomes of it."""
    path, target = decode(record.path), record.words.get(b"hardlink")
    if dropped.has(path):
        dropped.add(path, record, pieces)
        return
    dropped.names.replace(path, record.words[b"type"] == b"dir")
    words, size = record.rest, record.size
    if target is not None and b"lower" not in record.words and dropped.has(decode(target)):
        words, inode = dropped.resolve(path, record)
        if inode:
            size, pieces = inode.size, dropped.payload(inode)
    dst.records, dst.bytes = dst.records + 1, dst.bytes + size
    dst.write(b" ".join([record.path, *words]) + b"\n")
    for piece in pieces:
        dst.write(piece)


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    args = sys.argv[1:]
    with_crc = "--no-crc" not in args
    tops = [a.strip("/") for a in args if a != "--no-crc"] or DROPPED
    if "" in tops:
        sys.exit("drop-docs.py: the root cannot be dropped")
    src, dst = Input(sys.stdin.buffer), Output(sys.stdout.buffer)
    try:
        with tempfile.TemporaryFile() as spool:
            copy(src, dst, Dropped([os.fsencode(t) for t in tops], spool), with_crc)
    except (Fault, KeyError, OSError) as fault:
        why = "no word %s" % show(fault.args[0]) if isinstance(fault, KeyError) else str(fault)
        message = src.cause() or escape(b"drop-docs.py: " + why.encode())[:1024]
        dst.file.write(b"\n#abort message=" + message + b"\n")
        dst.file.flush()
        sys.exit("drop-docs.py: " + show(unescape(message)).removeprefix("drop-docs.py: "))


if __name__ == "__main__":
    main()
