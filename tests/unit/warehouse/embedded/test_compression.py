"""Compressed bodies: whatever way they are cut, they come out as they went in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.warehouse.embedded import compression
from headwater.warehouse.embedded.errors import EndpointError


def feed_in_pieces(codec: compression.Codec, data: bytes, size: int) -> bytes:
    return b"".join(codec.feed(data[i : i + size]) for i in range(0, len(data), size)) + codec.finish()


@pytest.mark.parametrize("name", ["zstd", "lz4", "gzip", "deflate", "", "blocks"])
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=5000), size=st.integers(1, 700))
def test_there_and_back(name: str, data: bytes, size: int) -> None:
    native = name == "blocks"
    encoding = "" if native else name
    packed = feed_in_pieces(compression.encoder(encoding, native=native), data, size)
    assert feed_in_pieces(compression.decoder(encoding, native=native), packed, size) == data


def test_a_large_body_is_several_blocks() -> None:
    data = bytes(range(256)) * 12_000
    packed = feed_in_pieces(compression.BlockEncoder(), data, 100_000)
    assert feed_in_pieces(compression.BlockDecoder(), packed, 4096) == data


def test_a_block_that_clickhouse_made() -> None:
    # `SELECT 1 FORMAT TSV` with compress=1, as ClickHouse's documentation of the block format lays it out.
    block = compression.BlockEncoder()
    packed = block.feed(b"1\n") + block.finish()
    assert packed[16] == 0x82
    assert int.from_bytes(packed[17:21], "little") == len(packed) - 16
    assert int.from_bytes(packed[21:25], "little") == 2
    assert packed[:16] == compression.checksum(packed[16:])


@pytest.mark.parametrize(("place", "name"), [(0, "CHECKSUM_DOESNT_MATCH"), (30, "CHECKSUM_DOESNT_MATCH")])
def test_a_corrupted_block_is_refused(place: int, name: str) -> None:
    codec = compression.BlockEncoder()
    packed = bytearray(codec.feed(b"0123456789" * 10) + codec.finish())
    packed[place] ^= 1
    with pytest.raises(EndpointError) as caught:
        compression.BlockDecoder().feed(bytes(packed))
    assert caught.value.name == name


def test_a_block_cut_short_is_refused() -> None:
    codec = compression.BlockEncoder()
    packed = codec.feed(b"0123456789") + codec.finish()
    decoder = compression.BlockDecoder()
    assert decoder.feed(packed[:-1]) == b""
    with pytest.raises(EndpointError, match="cut short"):
        decoder.finish()


def test_garbage_is_refused_in_clickhouses_way() -> None:
    with pytest.raises(EndpointError, match="Cannot decompress"):
        compression.decoder("gzip", native=False).feed(b"no gzip at all")
    with pytest.raises(EndpointError, match="Unknown compression method"):
        compression.decoder("br", native=False)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("gzip, zstd", "zstd"),
        ("br", ""),
        ("zstd;q=0, gzip;q=0.5", "gzip"),
        ("identity", ""),
    ],
)
def test_negotiation(accept: str, expected: str) -> None:
    assert compression.negotiate(accept) == expected
