"""subnet: the network an address belongs to."""

import ipaddress

import polars as pl

from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.functions.unique import by_unique_text
from operators.expressions.types import Type


def subnet(address: str, v4_prefix: int = 24, v6_prefix: int = 48) -> str | None:
    """The network as canonical text; IPv4 inside IPv6 (::ffff:1.2.3.4) counts as IPv4; None for a text that is no
    address.

    >>> subnet("192.0.2.77"), subnet("2001:db8:1:2::5"), subnet("::ffff:192.0.2.77")
    ('192.0.2.0/24', '2001:db8:1::/48', '192.0.2.0/24')
    """
    if len(address) > 45 or "%" in address:  # a zone (fe80::1%eth0) means nothing on another machine
        return None
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return _network(int(parsed), 128, v6_prefix)
        parsed = parsed.ipv4_mapped
    return _network(int(parsed), 32, v4_prefix)


def _network(number: int, bits: int, prefix: int) -> str:
    first = number >> (bits - prefix) << (bits - prefix)
    address = ipaddress.IPv4Address(first) if bits == 32 else ipaddress.IPv6Address(first)
    return f"{address}/{prefix}"


def _subnet(args: Arguments) -> tuple[pl.Expr, Type]:
    v4 = args.literal_integer(1, "the IPv4 prefix", 0, 32) if len(args) > 1 else 24
    v6 = args.literal_integer(2, "the IPv6 prefix", 0, 128) if len(args) > 2 else 48
    return by_unique_text(args.text(0), lambda text: subnet(text, v4, v6), Type.STRING.dtype), Type.STRING


FUNCTIONS = (Function("subnet", "subnet(ip [, IPv4 prefix = 24 [, IPv6 prefix = 48]])", 1, 3, _subnet),)
