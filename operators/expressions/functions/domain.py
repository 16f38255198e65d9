"""domain, registered_domain, email_domain: the hosts that a text points at.

Every step is linear in the text: a hostile text of 60 KB must not cost more than a friendly one.
"""

import ipaddress
import re
import unicodedata
from functools import cache, lru_cache

import polars as pl
from publicsuffixlist import PublicSuffixList

from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.functions.unique import by_unique_text
from operators.expressions.types import Type

_PIECE = re.compile(r"[^\s<>\"'(){}|^`,;«»“”‘’]+")
_SCHEME_END = re.compile(r"[a-z][a-z0-9+.-]{0,15}$", re.IGNORECASE)
_AUTHORITY = re.compile(r"[^/\\?#]*")
_HOST_RUN = re.compile(r"[\w.-]+")
_ASCII_HOST_RUN = re.compile(r"[A-Za-z0-9.-]+")
_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")


def domain(text: str) -> str | None:
    """The host of the first URL or bare host name of a text: lower case, punycode; None where there is none.

    A URL's host may be anything, an address too; a bare host must end in a public suffix (`notes.txt` is no host).
    `https://a.com@b.com` goes to b.com. The domain of an e-mail address is not a bare host.

    >>> domain("see HTTP://WWW.Example.com:80/x"), domain("buy at shop.example.co.uk!"), domain("version 1.2.3")
    ('www.example.com', 'shop.example.co.uk', None)
    """
    text = _plain_dots(text)
    if "." not in text and "://" not in text:
        return None
    for word in text.split():
        if "." in word or "://" in word:
            for piece in _PIECE.finditer(word):
                host = _url_host(piece[0]) or _bare_host(piece[0])
                if host is not None:
                    return host
    return None


def registered_domain(text: str) -> str | None:
    """The part of `domain(text)` that someone registered, by the public suffix list, private suffixes (github.io)
    included.

    >>> registered_domain("https://a.b.example.co.uk/x"), registered_domain("http://me.github.io")
    ('example.co.uk', 'me.github.io')
    """
    host = domain(text)
    if host is None or _address(host):
        return None
    return _registered(host)


def email_domain(text: str) -> str | None:
    """The domain of the first e-mail address of a text: lower case, punycode.

    >>> email_domain("write to Bob <bob@Mail.Example.COM>.")
    'mail.example.com'
    """
    at = text.find("@")
    if at >= 0:
        text = _plain_dots(text)
    while at >= 0:
        run = _HOST_RUN.match(text, at + 1, at + 256)
        if run and at and (text[at - 1].isalnum() or text[at - 1] in "._%+-\"'"):
            host = _host_name(run[0].rstrip(".-_"))
            if host is not None:
                return host
        at = text.find("@", at + 1)
    return None


def _url_host(piece: str) -> str | None:
    before, mark, rest = piece.partition("://")
    if not mark or not _SCHEME_END.search(before[-16:]):
        return None
    authority = str(_AUTHORITY.match(rest)[0]).rpartition("@")[2]  # type: ignore[index]
    if authority.startswith("["):
        return _address(authority[1:].partition("]")[0])
    host = authority.partition(":")[0].rstrip(".!…")
    return _address(host) or _host_name(host, dotted=False)


def _bare_host(piece: str) -> str | None:
    if "." not in piece or "@" in piece:
        return None
    for run in _HOST_RUN.finditer(piece.partition("/")[0].partition("\\")[0]):
        # Scripts without spaces run into a host name: its ASCII part is tried after the whole.
        for candidate in (run[0], *(ascii_run[0] for ascii_run in _ASCII_HOST_RUN.finditer(run[0]))):
            host = _host_name(candidate.strip(".-_"))
            if host is not None and _has_suffix(host):
                return host
    return None


def _host_name(text: str, dotted: bool = True) -> str | None:
    """Canonical form of a host name; None where it is none."""
    if not text or len(text) > 253 or (dotted and "." not in text):
        return None
    labels = (
        unicodedata.normalize("NFKC", text).casefold().split(".") if not text.isascii() else text.lower().split(".")
    )
    if not all(map(_LABEL.fullmatch, labels)) or (dotted and labels[-1].isdigit()):
        return None
    return ".".join([label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in labels])


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text)) if text[:1].isalnum() or text[:1] == ":" else None
    except ValueError:
        return None


def _plain_dots(text: str) -> str:
    """With the full stops of other scripts, which browsers take in host names, as dots."""
    return text if text.isascii() else text.replace("。", ".").replace("．", ".").replace("｡", ".")


@lru_cache(maxsize=65_536)
def _registered(host: str) -> str | None:
    return _suffixes().privatesuffix(host) or None


@lru_cache(maxsize=65_536)
def _has_suffix(host: str) -> bool:
    return _suffixes().publicsuffix(host) not in (None, host)


@cache
def _suffixes() -> PublicSuffixList:
    """The list of the package; a top-level domain that is not on it is no public suffix."""
    return PublicSuffixList(accept_unknown=False)


def _domain(args: Arguments) -> tuple[pl.Expr, Type]:
    return by_unique_text(args.text(0), domain, Type.STRING.dtype), Type.STRING


def _registered_domain(args: Arguments) -> tuple[pl.Expr, Type]:
    return by_unique_text(args.text(0), registered_domain, Type.STRING.dtype), Type.STRING


def _email_domain(args: Arguments) -> tuple[pl.Expr, Type]:
    return by_unique_text(args.text(0), email_domain, Type.STRING.dtype), Type.STRING


FUNCTIONS = (
    Function("domain", "domain(text)", 1, 1, _domain),
    Function("registered_domain", "registered_domain(text)", 1, 1, _registered_domain),
    Function("email_domain", "email_domain(text)", 1, 1, _email_domain),
)
