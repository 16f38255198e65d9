"""The text format of Java's .properties files, and the login line (JAAS) that Kafka's sasl.jaas.config holds."""

import re

_LOGIN = re.compile(r"\s*([\w.$]+)\s+(required|requisite|sufficient|optional)((?:\s+[\w.$]+\s*=\s*(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s;\"']+))*)\s*;?\s*", re.DOTALL)  # fmt: skip
_OPTION = re.compile(r"([\w.$]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|([^\s;\"']+))", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def parse_properties(text: str) -> dict[str, str]:
    """Keys and values as Java reads them: `=`, `:` or blank between, # and ! comments, a last backslash joins lines.

    >>> parse_properties("a = 1\\\\n! no\\\\nb:two \\\\\\\\\\\\n  words")
    {'a': '1', 'b': 'two words'}

    The last of two equal keys counts. Raises ValueError for an escape that is not one.
    """
    values: dict[str, str] = {}
    for line in _logical_lines(text):
        key, value = _split(line)
        values[_unescaped(key)] = _unescaped(value)
    return values


def parse_login(text: str) -> tuple[str, dict[str, str]]:
    """Class name and options of a login line.

    >>> parse_login('org.example.PlainLoginModule required username="ann" password="a;b";')
    ('org.example.PlainLoginModule', {'username': 'ann', 'password': 'a;b'})

    Raises ValueError, and never shows the text: it holds a password.
    """
    found = _LOGIN.fullmatch(text)
    if found is None:
        raise ValueError('it is not of the form: CLASS required name="value" ... ;')
    options = {}
    for name, double, single, bare in _OPTION.findall(found.group(3)):
        options[name] = re.sub(r"\\(.)", r"\1", double) or single or bare
    return found.group(1), options


def _logical_lines(text: str) -> list[str]:
    lines = []
    joined = ""
    for natural in re.split(r"\r\n|\r|\n", text):
        line = natural.lstrip(" \t\f")
        if not joined and (not line or line[0] in "#!"):
            continue
        joined += line
        if (len(joined) - len(joined.rstrip("\\"))) % 2:
            joined = joined[:-1]
            continue
        lines.append(joined)
        joined = ""
    return lines + ([joined] if joined else [])


def _split(line: str) -> tuple[str, str]:
    end = 0
    while end < len(line) and line[end] not in "=: \t\f":
        end += 2 if line[end] == "\\" else 1
    rest = line[end:].lstrip(" \t\f")
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(" \t\f")
    return line[:end], rest


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    out = []
    at = 0
    while at < len(text):
        if text[at] != "\\":
            out.append(text[at])
            at += 1
        elif text[at + 1 : at + 2] == "u":
            digits = text[at + 2 : at + 6]
            if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                raise ValueError(r"\u must be followed by four hexadecimal digits")
            out.append(chr(int(digits, 16)))
            at += 6
        else:
            char = text[at + 1 : at + 2]
            out.append(_ESCAPES.get(char, char))
            at += 2
    return "".join(out)
