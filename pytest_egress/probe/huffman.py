"""The Huffman code of HPACK (RFC 7541 Appendix B), rebuilt from its code lengths."""

from __future__ import annotations

import functools

__all__ = ["CODE_LENGTHS", "HuffmanError", "codes", "decode"]

# The code is canonical, so the lengths in bits of the 256 octets and EOS say it all.
# fmt: off
CODE_LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30,
    28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5,
    7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22,
    22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23,
    22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22,
    21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26,
    26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20,
    24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27,
    27, 28, 27, 27, 27, 27, 27, 26, 30,
)
# fmt: on
_EOS = 256


class HuffmanError(ValueError):
    """A string that is not the Huffman code of any text."""


@functools.cache
def codes() -> dict[int, int]:
    """Return the symbol of each code; a code is prefixed with a 1 bit to keep its length."""
    table = {}
    code = previous = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(CODE_LENGTHS)):
        code <<= length - previous
        table[1 << length | code] = symbol
        previous = length
        code += 1
    return table


def decode(data: bytes) -> bytes:
    """Decode a string.

    Raises:
        HuffmanError: EOS inside, or a padding longer than 7 bits or not of ones (RFC 7541 5.2).
    """
    table = codes()
    decoded = bytearray()
    current = 1
    for octet in data:
        for shift in range(7, -1, -1):
            current = current << 1 | (octet >> shift & 1)
            symbol = table.get(current)
            if symbol is None:
                continue
            if symbol == _EOS:
                raise HuffmanError("a string that contains EOS")
            decoded.append(symbol)
            current = 1
    # What is left is the padding behind its 1 bit: all ones, at most 7 of them.
    if current & current + 1 or current > 0xFF:
        raise HuffmanError("a string with bad padding")
    return bytes(decoded)
