"""A trace file as blocks of plain bytes, gzip or not, read up to whatever ended it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

_READ = 128 << 10  # bytes asked of the disk at once
BLOCK = 512 << 10  # plain bytes handed on at once: what is decoded of them still fits into a cache
_GZIP = b"\x1f\x8b"

Progress = Callable[[int, int], None]


class Blocks:
    """The plain bytes of one file.

    Attributes:
        damage: Why they end early, None where they do not; known once the iteration is over.
    """

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        """Prepare to read ``path``; ``progress`` gets bytes of the file done and in all."""
        self.damage: str | None = None
        self._path = path
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over blocks of some MiB.

        Raises:
            OSError: The file can't be opened or read.
        """
        with self._path.open("rb") as file:
            head = file.read(2)
            file.seek(0)
            raw = self._raw(file.read, self._path.stat().st_size)
            yield from self._unzipped(raw) if head == _GZIP else raw

    def _raw(self, read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
        """Iterate over the file's own bytes."""
        done = 0
        while piece := read(_READ):
            done += len(piece)
            if self._progress is not None:
                self._progress(done, size)
            yield piece

    def _unzipped(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        """Iterate over what gzip members hold; a block is bounded however well it was packed."""
        unzip = zlib.decompressobj(wbits=31)
        for piece in raw:
            rest = piece
            try:
                while rest:
                    if unzip.eof:  # another member follows, as pigz and `cat` write them
                        unzip = zlib.decompressobj(wbits=31)
                    yield unzip.decompress(rest, BLOCK)
                    rest = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
            except zlib.error as error:
                self.damage = f"its compression is damaged ({error})"
                return
        if not unzip.eof:
            yield unzip.flush()
            self.damage = "its compressed data ends early"
