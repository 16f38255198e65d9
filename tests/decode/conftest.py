"""A small policy with every field type, and a way to decode a few records of it."""

from collections.abc import Callable, Sequence

import numpy as np
import orjson
import pytest

from operators.decode import Decoded, Decoder, decode_records
from schemas.policy import Policy

POLICY = {
    "policy": "shop",
    "max_record_bytes": 4_096,
    "events": {
        "post": {
            "when": {"/kind": "post"},
            "id": "/id",
            "time": {"path": "/ts", "unit": "ms"},
            "fields": {
                "account": "/author/id",
                "text": "string",
                "likes": "integer",
                "score": "float",
                "price": {"type": "decimal", "scale": 2},
                "bot": "boolean",
                "ip": "ip",
                "joined": {"type": "timestamp", "unit": "iso"},
                "tags": "list<string>",
            },
        },
        "payment": {
            "when": {"/kind": ["pay", "refund"], "/v": 2},
            "id": "/tx",
            "time": "/at",
            "fields": {"account": "string", "amount": {"type": "decimal", "scale": 2}},
        },
    },
}
MS = 1_700_000_000_000


@pytest.fixture(scope="session")
def decoder() -> Decoder:
    return Decoder(Policy.model_validate(POLICY))


def post(**changes: object) -> dict[str, object]:
    """A post that decodes; a change to `...` takes the key out."""
    record = {"kind": "post", "id": "e1", "ts": MS, "author": {"id": "anna"}, **changes}
    return {key: value for key, value in record.items() if value is not ...}


Decode = Callable[..., Decoded]


@pytest.fixture
def decode(decoder: Decoder) -> Decode:
    def run(*records: object, **options: object) -> Decoded:
        lines: Sequence[bytes] = [r if isinstance(r, bytes) else orjson.dumps(r) for r in records]
        return decode_records(lines, np.arange(len(lines)), ("posts.jsonl", 0), decoder, **options)  # type: ignore[arg-type]

    return run
