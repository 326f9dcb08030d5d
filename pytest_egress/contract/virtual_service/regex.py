"""What istiod takes for a regular expression: RE2's syntax, as Go 1.26 parses it.

Nothing is matched here: istiod only asks whether its parser accepts the text.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

__all__ = ["foreign_to_envoy", "regex_flaw"]

_LONGEST = 1024
_MOST_COPIES = 1000
_REPEAT = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}", re.ASCII)
_NAMED_GROUP = re.compile(r"\(\?P?<([^>]*)>")
_FLAGS = re.compile(r"\(\?[imsU]*(?:-[imsU]+)?[:)]")
_PROPERTY = re.compile(r"\\[pP](?:\{([^}]*)\}|([^{]))", re.DOTALL)
_POSIX_CLASS = re.compile(r"\[:(.*?):\]", re.DOTALL)
_POSIX_NAMES = re.compile(
    r"\^?(?:alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit)"
)
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>0[0-7]{0,2}|[1-7][0-7]{1,2})|x(?P<hex>[0-9a-fA-F]{2})"
    r"|x\{(?P<long>[0-9a-fA-F]+)\}|(?P<control>[afnrtv])|(?P<literal>[\x00-\x7f](?<![0-9A-Za-z])))",
    re.DOTALL,
)
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_CLASS_ESCAPES = frozenset("dDsSwW")
_ASSERTIONS = frozenset("AbBz")
_LAST_CHARACTER = 0x10FFFF
_UNSUPPORTED = {
    "(?=": "lookahead", "(?!": "negative lookahead", "(?>": "an atomic group",
    "(?#": "a comment", "(?|": "a branch reset", "(?(": "a condition", "(?P": "this use of (?P",
}  # fmt: skip
_MATCHERS = frozenset({"(?<=", "(?<!"})
_LOOKBEHIND = "lookbehind"


class _FlawError(Exception):
    """The pattern is none, for the reason given."""


@lru_cache(maxsize=4096)
def regex_flaw(pattern: str) -> str | None:
    """What is wrong with a pattern of a VirtualService, in words; None when istiod accepts it."""
    size = len(pattern.encode("utf-8", "surrogatepass"))
    if size > _LONGEST:
        return f"the regex has {size} bytes: Istio takes at most {_LONGEST}"
    try:
        _Parser(pattern).run()
    except _FlawError as error:
        return f'"{pattern}" is not an RE2 regex: {error}'
    return None


@lru_cache(maxsize=4096)
def foreign_to_envoy(pattern: str) -> str | None:
    r"""The first ``\p{...}`` of a valid pattern that Envoy's RE2 does not know, though Go does."""
    parser = _Parser(pattern)
    parser.run()
    return next((name for name in parser.names if name not in _shared_names()), None)


class _Parser:
    """Walks over a pattern once.

    Of each part only one number is kept: how many copies of its innermost item its nested
    counted repetitions make, which RE2 limits. ``_top`` is that of the part a repetition
    operator would apply to, None where there is none. ``names`` are those of Unicode properties.
    """

    __slots__ = ("_at", "_groups", "_most", "_text", "_top", "names")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._top: int | None = None
        self._most = 1  # copies in the parts of the open group
        self._groups: list[int] = []
        self.names: list[str] = []

    def run(self) -> None:
        """Raise for the first thing that is wrong."""
        text = self._text
        repeated = False  # whether the last thing read was a repetition operator
        while self._at < len(text):
            character = text[self._at]
            repeat = self._repeat_at() if character in "*+?{" else None
            if repeat is not None:
                self._repeat(*repeat, stacked=repeated)
                repeated = True
                continue
            repeated = False
            if character == "(":
                self._open()
            elif character == ")":
                self._close()
            elif character == "|":
                self._top = None
                self._at += 1
            elif character == "[":
                self._at = self._class(self._at)
                self._push()
            elif character == "\\":
                self._backslash()
            else:
                self._at += 1
                self._push()
        if self._groups:
            raise _FlawError("a parenthesis is not closed")

    def _push(self, copies: int = 1) -> None:
        self._top = copies
        self._most = max(self._most, copies)

    def _repeat_at(self) -> tuple[int, int, int] | None:
        """Least and most copies (-1: no limit) and the end of an operator; None for a literal."""
        character = self._text[self._at]
        if character != "{":
            return (1 if character == "+" else 0), (1 if character == "?" else -1), self._at + 1
        found = _REPEAT.match(self._text, self._at)
        if found is None:
            return None
        least = int(found[1])
        most = least if not found[2] else -1 if found[3] is None else int(found[3])
        if least > _MOST_COPIES or most > _MOST_COPIES or 0 <= most < least:
            raise _FlawError(f'"{found[0]}": counts go to {_MOST_COPIES}, the lower one first')
        return least, most, found.end()

    def _repeat(self, least: int, most: int, end: int, *, stacked: bool) -> None:
        operator = self._text[self._at : end]
        if self._text.startswith("?", end):
            end += 1
        if stacked:
            raise _FlawError(f'"{operator}" follows another repetition: put a group around it')
        if self._top is None:
            raise _FlawError(
                f'"{operator}" has nothing before it to repeat: "\\{operator}" is text'
            )
        copies = 1 if most == 0 else self._top * max(least if most < 0 else most, 1)
        if copies > _MOST_COPIES:
            raise _FlawError(f"nested repetitions make more than {_MOST_COPIES} copies")
        self._at = end
        self._push(copies)

    def _open(self) -> None:
        text, at = self._text, self._at
        if not text.startswith("(?", at):
            self._at += 1
        elif text.startswith(("(?P<", "(?<"), at) and text[at:] != "(?P<":
            named = _NAMED_GROUP.match(text, at)
            if named is None or re.fullmatch("[0-9A-Za-z_]+", named[1]) is None:
                raise _FlawError(self._perl())
            self._at = named.end()
        else:
            flags = _FLAGS.match(text, at)
            if flags is None:
                raise _FlawError(self._perl())
            self._at = flags.end()
            if flags[0].endswith(")"):
                return  # flags for what follows, no group
        self._groups.append(self._most)
        self._top, self._most = None, 1

    def _perl(self) -> str:
        start = self._text[self._at :]
        if start[:4] in _MATCHERS:
            return f'"{start[:4]}": {_LOOKBEHIND} is not part of RE2'
        if start.startswith(("(?<", "(?P<")):
            return f'"{start[:12]}": a group is named (?P<name>...), with letters, digits and "_"'
        what = _UNSUPPORTED.get(start[:3])
        if what is not None:
            return f'"{start[:3]}": {what} is not part of RE2'
        return f'"{start[:4]}" opens nothing that RE2 knows: (?:...), (?i) and (?P<name>...) do'

    def _close(self) -> None:
        if not self._groups:
            raise _FlawError('")" closes nothing: "\\)" is text')
        copies, self._most = self._most, self._groups.pop()
        self._at += 1
        self._push(copies)

    def _backslash(self) -> None:
        text, at = self._text, self._at
        following = text[at + 1 : at + 2]
        if following == "Q":
            end = text.find("\\E", at + 2)
            if end != at + 2 and at + 2 < len(text):
                self._push()
            self._at = len(text) if end < 0 else end + 2
            return
        if following in _ASSERTIONS and following:
            self._at += 2
        else:
            self._at, _ = self._escape(at)
        self._push()

    def _escape(self, at: int) -> tuple[int, int | None]:
        """The end of the escape at ``at``, and its character; None for a class of characters."""
        text = self._text
        following = text[at + 1 : at + 2]
        if not following:
            raise _FlawError("a backslash at the end escapes nothing")
        if following in _CLASS_ESCAPES:
            return at + 2, None
        if following in "pP":
            return self._property(at), None
        found = _ESCAPE.match(text, at)
        if found is None:
            hint = f' (in quotes "\\\\{following}" is a backslash and {following})'
            if following.isdigit():
                hint = ": RE2 has no backreferences"
            raise _FlawError(f'"\\{following}" is no escape of RE2{hint}')
        if found["octal"]:
            return found.end(), int(found["octal"], 8)
        if found["hex"] or found["long"]:
            number = int(found["hex"] or found["long"], 16)
            if number > _LAST_CHARACTER:
                raise _FlawError(f'"{found[0]}" is beyond the last character of Unicode')
            return found.end(), number
        if found["control"]:
            return found.end(), _CONTROLS[found["control"]]
        return found.end(), ord(found["literal"])

    def _property(self, at: int) -> int:
        found = _PROPERTY.match(self._text, at)
        if found is None:
            raise _FlawError(f'"{self._text[at : at + 3]}" needs a name: \\p{{Greek}}')
        name = (found[1] if found[1] is not None else found[2]).removeprefix("^")
        self.names.append(name)
        if _folded(name) not in _properties():
            raise _FlawError(f'"{found[0]}" names no category or script that Go knows')
        return found.end()

    def _class(self, start: int) -> int:
        """The end of the bracketed class that begins at ``start``."""
        text = self._text
        at = start + 2 if text.startswith("^", start + 1) else start + 1
        first = True
        while first or not text.startswith("]", at):
            first = False
            if text.startswith("[:", at) and len(text) - at > 2:
                named = _POSIX_CLASS.match(text, at)
                if named is not None:
                    if _POSIX_NAMES.fullmatch(named[1]) is None:
                        raise _FlawError(f'"{named[0]}" is no class: [:alpha:], [:digit:] are')
                    at = named.end()
                    continue
            begin = at
            at, low = self._class_character(at)
            if low is None:
                continue
            if text.startswith("-", at) and at + 1 < len(text) and text[at + 1] != "]":
                at, high = self._class_character(at + 1, end_of_range=True)
                if high is not None and high < low:
                    raise _FlawError(f'"{text[begin:at]}": the range is the wrong way round')
        return at + 1

    def _class_character(self, at: int, *, end_of_range: bool = False) -> tuple[int, int | None]:
        text = self._text
        if at >= len(text):
            raise _FlawError('a bracket "[" is not closed')
        if text[at] != "\\":
            return at + 1, ord(text[at])
        end, character = self._escape(at)
        if character is None and end_of_range:
            raise _FlawError(f'"{text[at:end]}" is a class, which cannot end a range')
        return end, character


def _folded(name: str) -> str:
    """A name as Go compares it: separators out, one capital letter in front."""
    bare = "".join(c for c in name if c not in "_- ")
    return bare[:1].translate(_UPPER) + bare[1:].translate(_LOWER)


_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_UPPER = str.maketrans(_CAPITALS.lower(), _CAPITALS)
_LOWER = str.maketrans(_CAPITALS, _CAPITALS.lower())


@cache
def _properties() -> frozenset[str]:
    """The names that Go's parser finds; scripts of several words are not among them."""
    return frozenset(f"{_CATEGORIES} {_CATEGORY_NAMES} {_SCRIPTS}".split())


@cache
def _shared_names() -> frozenset[str]:
    """The names, as they must be written, that RE2 knows as well."""
    return frozenset(f"{_CATEGORIES} {_SCRIPTS}".split()) - {"Ascii", "Assigned", "Cn", "Lc"}


_CATEGORIES = (
    "Any Ascii Assigned C Cc Cf Cn Co Cs L Lc Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No "
    "P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs"
)
_CATEGORY_NAMES = """
    Casedletter Closepunctuation Cntrl Combiningmark Connectorpunctuation Control Currencysymbol
    Dashpunctuation Decimalnumber Digit Enclosingmark Finalpunctuation Format Initialpunctuation
    Letter Letternumber Lineseparator Lowercaseletter Mark Mathsymbol Modifierletter
    Modifiersymbol Nonspacingmark Number Openpunctuation Other Otherletter Othernumber
    Otherpunctuation Othersymbol Paragraphseparator Privateuse Punct Punctuation Separator
    Spaceseparator Spacingmark Surrogate Symbol Titlecaseletter Unassigned Uppercaseletter
"""
_SCRIPTS = """
    Adlam Ahom Arabic Armenian Avestan Balinese Bamum Batak Bengali Bhaiksuki Bopomofo Brahmi
    Braille Buginese Buhid Carian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot
    Cyrillic Deseret Devanagari Dogra Duployan Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic
    Grantha Greek Gujarati Gurmukhi Han Hangul Hanunoo Hatran Hebrew Hiragana Inherited Javanese
    Kaithi Kannada Katakana Kawi Kharoshthi Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Lisu
    Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Medefaidrin Miao Modi
    Mongolian Mro Multani Myanmar Nabataean Nandinagari Newa Nko Nushu Ogham Oriya Osage Osmanya
    Palmyrene Phoenician Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham Sinhala Sogdian
    Soyombo Sundanese Syriac Tagalog Tagbanwa Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan
    Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Yezidi Yi
"""
