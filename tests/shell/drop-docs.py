#!/usr/bin/env python3
"""Drops ./usr/share/doc from a tree stream and passes everything else as it is.

Written from lib/tree/FORMAT.md alone, to show that a stage can be replaced. Usage:

    tar2tree layer.tar | drop-docs.py [--no-crc] | tree2erofs > rootfs.erofs
"""

import re
import signal
import sys
import zlib

DROPPED = b"usr/share/doc"
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


def escape(data):
    plain = set(range(0x21, 0x7F)) - set(b"\\#*?[=")
    return b"".join(bytes([c]) if c in plain else b"\\%03o" % c for c in data)


def is_dropped(path):
    path = unescape(path)[2:]
    return path == DROPPED or path.startswith(DROPPED + b"/")


def payload_size(words, inline):
    """How many bytes of content follow a record."""
    if not inline or words[b"type"] != b"file" or b"hardlink" in words:
        return 0
    extents = words.get(b"extents")
    if extents is None:
        return int(words[b"size"])
    if extents == b"-":
        return 0
    return sum(int(x.split(b"+")[1]) for x in extents.split(b","))


def check_end(line, records, size, crc):
    found = re.fullmatch(rb"#end records=(\d+) bytes=(\d+)(?: crc32=([0-9a-fA-F]{8}))?", line)
    if not found or (int(found[1]), int(found[2])) != (records, size):
        raise Fault("wrong end line")
    if found[3] and int(found[3], 16) != crc:
        raise Fault("wrong CRC-32")


def copy(src, dst, with_crc):
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
        if not line or line.startswith(b"#"):
            raise Fault("neither record nor end line")
        path, *rest = line.split(b" ")
        words = dict(w.partition(b"=")[::2] for w in rest)
        follows = payload_size(words, head.endswith(b"inline"))
        records, size = records + 1, size + follows
        keep = not is_dropped(path)
        target = words.get(b"hardlink")
        if keep and target and b"lower" not in words and is_dropped(target):
            raise Fault("%s is a hard link into what is dropped" % path.decode())
        if keep:
            dst.records, dst.bytes = dst.records + 1, dst.bytes + follows
            dst.write(line + b"\n")
        for piece in src.data(follows) if follows else ():
            if keep:
                dst.write(piece)
    check_end(line, records, size, crc)
    if src.file.read(1):
        raise Fault("data after the end line")
    end = b"#end records=%d bytes=%d" % (dst.records, dst.bytes)
    dst.file.write(end + (b" crc32=%08x\n" % dst.crc if with_crc else b"\n"))
    dst.file.flush()


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    src, dst = Input(sys.stdin.buffer), Output(sys.stdout.buffer)
    try:
        copy(src, dst, "--no-crc" not in sys.argv)
    except (Fault, KeyError, ValueError, IndexError) as fault:
        message = src.cause() or escape(b"drop-docs.py: %s" % str(fault).encode())
        dst.file.write(b"\n#abort message=" + message[:1024] + b"\n")
        dst.file.flush()
        sys.exit("drop-docs.py: " + unescape(message).decode(errors="replace"))


if __name__ == "__main__":
    main()
