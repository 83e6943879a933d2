"""Bodies compressed as clients ask: gzip, deflate, zstd, lz4 frames, and ClickHouse's own blocks.

A ClickHouse block is CityHash128 over the rest, then method (0x82 LZ4, 0x90 ZSTD, 0x02 none), compressed size with
the 9 bytes of header, uncompressed size, data. The JDBC driver sends and asks for nothing else.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Protocol

import lz4.block
import lz4.frame
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from headwater.warehouse.embedded.errors import EndpointError

HEADER = struct.Struct("<BII")
CHECKSUM_BYTES = 16
MAX_BLOCK_BYTES = 1 << 27
BLOCK_BYTES = 1 << 20
LZ4, ZSTD, NONE = 0x82, 0x90, 0x02
PREFERRED = ("zstd", "lz4", "gzip", "deflate")


class Codec(Protocol):
    """One direction of one body: chunks in, chunks out, and what is left at the end."""

    def feed(self, data: bytes) -> bytes:
        """Take a chunk; returns what can be given on so far."""

    def finish(self) -> bytes:
        """The rest. Raises `EndpointError` where the stream was cut short."""


class _Stream:
    """A codec of the standard kind: an object's method for chunks, and one for the end."""

    def __init__(self, feed: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> None:
        self._feed = feed
        self._finish = finish

    def feed(self, data: bytes) -> bytes:
        try:
            return self._feed(data)
        except (zlib.error, RuntimeError, EOFError, zstandard.ZstdError) as error:
            raise EndpointError("CANNOT_DECOMPRESS", f"Cannot decompress the request: {error}.") from error

    def finish(self) -> bytes:
        return self._finish()


class Plain:
    """No compression."""

    def feed(self, data: bytes) -> bytes:
        """The chunk itself."""
        return data

    def finish(self) -> bytes:
        """Nothing is kept back."""
        return b""


def checksum(data: bytes) -> bytes:
    """CityHash128 (the version ClickHouse froze) in the order of bytes that ClickHouse writes."""
    value = CityHash128(data)
    return struct.pack("<QQ", value >> 64, value & 0xFFFFFFFFFFFFFFFF)


class BlockEncoder:
    """Bytes into ClickHouse blocks of at most 1 MiB, LZ4."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Keeps less than one block back."""
        self._kept += data
        blocks = []
        while len(self._kept) >= BLOCK_BYTES:
            blocks.append(self._block(bytes(self._kept[:BLOCK_BYTES])))
            del self._kept[:BLOCK_BYTES]
        return b"".join(blocks)

    def finish(self) -> bytes:
        """The last block."""
        rest, self._kept = bytes(self._kept), bytearray()
        return self._block(rest) if rest else b""

    @staticmethod
    def _block(data: bytes) -> bytes:
        compressed = lz4.block.compress(data, store_size=False)
        body: bytes = HEADER.pack(LZ4, len(compressed) + HEADER.size, len(data)) + compressed
        return checksum(body) + body


class BlockDecoder:
    """ClickHouse blocks into bytes."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Every whole block so far. Raises CHECKSUM_DOESNT_MATCH, UNKNOWN_COMPRESSION_METHOD, CANNOT_DECOMPRESS."""
        self._kept += data
        out = []
        while len(self._kept) >= CHECKSUM_BYTES + HEADER.size:
            method, size, raw_size = HEADER.unpack_from(self._kept, CHECKSUM_BYTES)
            if not HEADER.size <= size <= MAX_BLOCK_BYTES or raw_size > MAX_BLOCK_BYTES:
                raise EndpointError("CANNOT_DECOMPRESS", f"Size of a compressed block is out of bounds: {size}.")
            if len(self._kept) < CHECKSUM_BYTES + size:
                break
            body = bytes(self._kept[CHECKSUM_BYTES : CHECKSUM_BYTES + size])
            if checksum(body) != bytes(self._kept[:CHECKSUM_BYTES]):
                raise EndpointError("CHECKSUM_DOESNT_MATCH", "Checksum doesn't match: corrupted data.")
            out.append(self._decompress(method, body[HEADER.size :], raw_size))
            del self._kept[: CHECKSUM_BYTES + size]
        return b"".join(out)

    def finish(self) -> bytes:
        """Raises CANNOT_DECOMPRESS if a block was cut short."""
        if self._kept:
            raise EndpointError("CANNOT_DECOMPRESS", "The last compressed block is cut short.")
        return b""

    @staticmethod
    def _decompress(method: int, data: bytes, raw_size: int) -> bytes:
        try:
            if method == LZ4:
                return bytes(lz4.block.decompress(data, uncompressed_size=raw_size))
            if method == ZSTD:
                return zstandard.ZstdDecompressor().decompress(data, max_output_size=raw_size)
        except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
            raise EndpointError("CANNOT_DECOMPRESS", f"Cannot decompress a block: {error}.") from error
        if method == NONE:
            return data
        raise EndpointError("UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method: {method:#x}.")


class _Lz4Encoder:
    """LZ4 frames; the frame's beginning is written before the first chunk."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._begin = bytes(self._frame.begin())

    def feed(self, data: bytes) -> bytes:
        begin, self._begin = self._begin, b""
        return begin + bytes(self._frame.compress(data))

    def finish(self) -> bytes:
        return self._begin + bytes(self._frame.flush())


def decoder(encoding: str, *, native: bool) -> Codec:
    """For a request body: `encoding` is Content-Encoding, `native` ClickHouse's `decompress=1` (inside of it)."""
    outer = _decoder(encoding.strip().lower())
    return Chain(outer, BlockDecoder()) if native else outer


def _decoder(encoding: str) -> Codec:
    if encoding in ("", "identity"):
        return Plain()
    if encoding in ("gzip", "deflate"):
        inflate = zlib.decompressobj(47 if encoding == "gzip" else 15)
        return _Stream(inflate.decompress, inflate.flush)
    if encoding == "zstd":
        return _Stream(zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress, lambda: b"")
    if encoding == "lz4":
        frame = lz4.frame.LZ4FrameDecompressor()
        return _Stream(lambda data: bytes(frame.decompress(data)), lambda: b"")
    raise EndpointError("UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method: {encoding}.")


class Chain:
    """One codec after another."""

    def __init__(self, first: Codec, second: Codec) -> None:
        self._first = first
        self._second = second

    def feed(self, data: bytes) -> bytes:
        """Through both."""
        return self._second.feed(self._first.feed(data))

    def finish(self) -> bytes:
        """The end of both."""
        return self._second.feed(self._first.finish()) + self._second.finish()


def negotiate(accept_encoding: str) -> str:
    """The encoding of the answer: the endpoint's favourite among those the client takes, or empty."""
    accepted = set()
    for part in accept_encoding.lower().split(","):
        name, _, quality = part.strip().partition(";")
        if quality.replace(" ", "") not in ("q=0", "q=0.0"):
            accepted.add(name.strip())
    return next((name for name in PREFERRED if name in accepted), "")


def encoder(encoding: str, *, native: bool) -> Codec:
    """For an answer: ClickHouse blocks (`compress=1`) or a Content-Encoding from `negotiate`."""
    if native:
        return BlockEncoder()
    if encoding == "zstd":
        zstd = zstandard.ZstdCompressor(level=1).compressobj()
        return _Stream(zstd.compress, zstd.flush)
    if encoding == "lz4":
        return _Lz4Encoder()
    if encoding in ("gzip", "deflate"):
        deflate = zlib.compressobj(3, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
        return _Stream(deflate.compress, deflate.flush)
    return Plain()
