"""Header compression against the vectors of RFC 7541 and the hpack library."""

from __future__ import annotations

import hpack as reference
import pytest
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable
from hypothesis import given
from hypothesis import strategies as st

from pytest_egress.probe import huffman
from pytest_egress.probe.hpack import STATIC_TABLE, Decoder, HpackError, encode

_DATE_1, _DATE_2 = "Mon, 21 Oct 2013 20:13:21 GMT", "Mon, 21 Oct 2013 20:13:22 GMT"
_REQUEST = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
_HOST = (":authority", "www.example.com")
_REQUESTS = [
    [*_REQUEST, _HOST],
    [*_REQUEST, _HOST, ("cache-control", "no-cache")],
    [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        _HOST,
        ("custom-key", "custom-value"),
    ],
]
_COMMON = [("cache-control", "private"), ("date", _DATE_1), ("location", "https://www.example.com")]
_RESPONSES = [
    [(":status", "302"), *_COMMON],
    [(":status", "307"), *_COMMON],
    [
        (":status", "200"),
        ("cache-control", "private"),
        ("date", _DATE_2),
        ("location", "https://www.example.com"),
        ("content-encoding", "gzip"),
        ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", ("custom-key", "custom-header")),
        ("040c2f73616d706c652f70617468", (":path", "/sample/path")),
        ("100870617373776f726406736563726574", ("password", "secret")),
        ("82", (":method", "GET")),
    ],
    ids=["C.2.1", "C.2.2", "C.2.3", "C.2.4"],
)
def test_single_fields(block: str, expected: tuple[str, str]) -> None:
    """RFC 7541 C.2: each representation of one header field."""
    assert Decoder().decode(bytes.fromhex(block)) == [expected]


@pytest.mark.parametrize(
    ("limit", "blocks", "expected"),
    [
        (
            4096,
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            _REQUESTS,
        ),
        (
            4096,
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
            _REQUESTS,
        ),
        (
            256,
            [
                (
                    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a"
                    "323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d"
                ),
                "4803333037c1c0bf",
                (
                    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69"
                    "707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d6178"
                    "2d6167653d333630303b2076657273696f6e3d31"
                ),
            ],
            _RESPONSES,
        ),
        (
            256,
            [
                (
                    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29"
                    "ad171863c78f0b97c8e9ae82ae43d3"
                ),
                "4883640effc1c0bf",
                (
                    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7"
                    "f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d50"
                    "07"
                ),
            ],
            _RESPONSES,
        ),
    ],
    ids=["C.3", "C.4-huffman", "C.5-eviction", "C.6-huffman-eviction"],
)
def test_sequences_of_blocks(
    limit: int, blocks: list[str], expected: list[list[tuple[str, str]]]
) -> None:
    """RFC 7541 C.3 to C.6: the dynamic table lives on from block to block, with eviction."""
    decoder = Decoder(max_table_size=limit)
    assert [decoder.decode(bytes.fromhex(block)) for block in blocks] == expected


def test_tables_are_those_of_the_rfc() -> None:
    """The static table and the rebuilt Huffman code are the reference library's."""
    assert tuple((n.decode(), v.decode()) for n, v in HeaderTable.STATIC_TABLE) == STATIC_TABLE
    assert huffman.codes() == {
        1 << length | code: symbol
        for symbol, (code, length) in enumerate(
            zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)
        )
    }


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("80", "no table has"),
        ("be", "no table has"),
        ("ff", "ends too early"),
        ("ffffffffffffffffff7f", "too large"),
        ("ff80808080808080808000", "too large"),
        ("00", "ends too early"),
        ("00056162", "runs past"),
        ("0001610161"[:8], "runs past"),
        ("3fe21f", "above what is allowed"),
        ("823f00", "after the first header field"),
        ("0084fffffffc0161", "EOS"),
        ("008100", "padding"),
        ("0082ffff", "padding"),
    ],
)
def test_malformed_blocks(block: str, problem: str) -> None:
    """Each way to break a block is an error, never a hang or another exception."""
    with pytest.raises(HpackError) as caught:
        Decoder().decode(bytes.fromhex(block))
    assert problem in str(caught.value)


def test_a_header_list_is_bounded() -> None:
    """One stored entry referred to again and again does not grow without end."""
    bomb = encode([("a", "b" * 4000)]).replace(b"\x00", b"\x40", 1) + b"\xbe" * 4096
    with pytest.raises(HpackError, match="larger than 65536"):
        Decoder().decode(bomb)


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(block: bytes) -> None:
    """Arbitrary blocks end in a list or in an HpackError."""
    try:
        headers = Decoder().decode(block)
    except HpackError:
        return
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in headers)


_LATIN = st.text(st.characters(max_codepoint=255), max_size=50)
_FIELDS = st.lists(st.tuples(_LATIN, _LATIN) | st.sampled_from(STATIC_TABLE), max_size=12)


@given(st.lists(st.tuples(_FIELDS, st.booleans(), st.integers(0, 4096)), max_size=5))
def test_decodes_what_the_reference_encodes(
    blocks: list[tuple[list[tuple[str, str]], bool, int]],
) -> None:
    """Blocks of one connection, Huffman or not, with table size updates between them."""
    encoder, decoder = reference.Encoder(), Decoder()
    for fields, coded, size in blocks:
        encoder.header_table_size = size
        octets = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields]
        assert decoder.decode(encoder.encode(octets, huffman=coded)) == fields


@given(_FIELDS)
def test_the_reference_decodes_what_we_encode(fields: list[tuple[str, str]]) -> None:
    """Our encoder's blocks mean to the reference, and to us, what was put in."""
    block = encode(fields)
    decoded = reference.Decoder().decode(block, raw=True)
    assert [(n.decode("latin-1"), v.decode("latin-1")) for n, v in decoded] == fields
    assert Decoder().decode(block) == fields


@given(st.binary(max_size=80))
def test_huffman_decodes_every_string(data: bytes) -> None:
    """Any octets survive the reference's coder and our decoder."""
    coder = reference.huffman.HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
    assert huffman.decode(coder.encode(data)) == data
