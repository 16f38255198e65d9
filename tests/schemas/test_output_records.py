"""The models of what comes out: a whole record of each kind, and that they hold to their forms."""

from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, ValidationError

from schemas.deadletter import DeadLetter
from schemas.documents import documents
from schemas.enforcement import Enforcement
from schemas.status import Status
from schemas.verdict import Verdict

ID = "6cda6902-9e06-5d8a-9619-3a5a9d6a5f9b"
AT = "2026-01-02T03:04:05.678Z"
SOURCE = {"name": "posts.jsonl", "partition": 0, "offset": 12}
VERDICT: dict[str, Any] = {
    "ce_id": ID, "policy": "marketplace", "policy_digest": "ab12", "epoch": "t1:3", "event_id": "p-1",
    "event_type": "post",
    "event_time": AT, "ingest_time": AT, "mode": "shadow",
    "rules": [{
        "rule": "copied_text", "mode": "live 10%", "shadow_reason": "holdout", "action": "limit",
        "target": {"kind": "account", "key": None}, "severity": "high",
        "reason": "authors_1d 4 (>= 3)", "policy_ref": "spam/2.1", "owner": None, "runbook": None, "expires_at": AT,
    }],
    "features": {"authors_1d": {"value": 4.0, "error": "exact below 32, at least 32 from there", "coverage": 1.0}},
    "scores": {}, "include": {"ip": "h:00", "tags": ["a"]}, "source": SOURCE,
}  # fmt: skip
ENFORCEMENT: dict[str, Any] = {
    "ce_id": ID, "policy": "marketplace", "epoch": "0", "mode": "live", "shadow_reason": None, "rule": "copied_text",
    "action": "limit", "severity": "high", "target": {"kind": "account", "key": "u1"}, "event_id": "p-1",
    "event_type": "post",
    "event_time": AT, "at": AT, "expires_at": None, "reason": "x", "policy_ref": None, "protected_by": None,
    "verdict": ID,
}  # fmt: skip
DEAD: dict[str, Any] = {
    "ce_id": ID, "policy": "marketplace", "source": SOURCE, "stage": "decode", "reason": "wrong_type",
    "field": "amount", "detail": "field amount at /amount is a string, the policy says float",
    "hint": "fix the producer", "event_id": None, "length": 200, "sha256": "0" * 64, "prefix": "eyJhIg==",
}  # fmt: skip
STATUS: dict[str, Any] = {
    "kind": "config_applied", "subject": "mode/copied_text", "at": None, "epoch": "t1:3", "subtask": 0, "of": 1,
    "detail": {"by": "anna"}, "message": "rule copied_text is live 10%",
}  # fmt: skip
RECORDS: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    (Verdict, VERDICT, "verdict.json"),
    (Enforcement, ENFORCEMENT, "enforcement.json"),
    (DeadLetter, DEAD, "deadletter.json"),
    (Status, STATUS, "status.json"),
]


@pytest.mark.parametrize(("model", "record", "name"), RECORDS)
def test_records_fit_model_and_schema(model: type[BaseModel], record: dict[str, Any], name: str) -> None:
    assert model.model_validate(record).model_dump(mode="json") == record
    assert list(model.model_fields) == list(record)
    jsonschema.validate(record, documents()[name], jsonschema.Draft7Validator)


@pytest.mark.parametrize(("model", "record", "name"), RECORDS)
def test_every_key_is_needed_and_no_other_is_written(model: type[BaseModel], record: dict[str, Any], name: str) -> None:
    for key in record:
        with pytest.raises(ValidationError):
            model.model_validate({k: v for k, v in record.items() if k != key})
    with pytest.raises(ValidationError):
        model.model_validate({**record, "more": 1})
    # Consumers are told to pass over keys that they do not know.
    jsonschema.validate({**record, "more": 1}, documents()[name], jsonschema.Draft7Validator)


@pytest.mark.parametrize(
    ("model", "record"),
    [
        (Verdict, {**VERDICT, "event_time": "2026-01-02T03:04:05Z"}),
        (Verdict, {**VERDICT, "event_time": 1767323045678}),
        (Verdict, {**VERDICT, "mode": "live 10%"}),
        (Verdict, {**VERDICT, "ce_id": "1"}),
        (Verdict, {**VERDICT, "features": {"f": {"value": "4", "error": "exact", "coverage": 1.0}}}),
        (Verdict, {**VERDICT, "features": {"f": {"value": 4.0, "error": "exact", "coverage": 1.5}}}),
        (Enforcement, {**ENFORCEMENT, "target": {"kind": "account", "key": None}}),
        (Enforcement, {**ENFORCEMENT, "shadow_reason": "tired"}),
        (DeadLetter, {**DEAD, "prefix": "A" * 685}),
        (DeadLetter, {**DEAD, "length": True}),
        (Status, {**STATUS, "message": ""}),
        (Status, {**STATUS, "of": 0}),
    ],
)
def test_what_no_record_may_hold(model: type[BaseModel], record: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(record)
