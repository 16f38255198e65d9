"""The AsyncAPI 3 document: topics, what their records hold, their keys and CloudEvents headers."""

from typing import Any

from schemas.cloudevents import TYPES

Json = dict[str, Any]

_OUTPUTS = {
    "verdicts": ("verdict", "Verdicts of live rules: one for each event for which one fired.", "event id"),
    "verdicts.shadow": ("verdict", "Verdicts of rules that act on nobody: one for each event.", "event id"),
    "enforcement": (
        "enforcement",
        "What is to be done: one for each rule and target, after cooldown and fuse.",
        "target",
    ),
    "enforcement.shadow": ("enforcement", "What live would have done. Act on nothing here.", "target"),
    "deadletter": ("deadletter", "Records that could not become events.", "position of the record in its source"),
    "status": ("status", "Facts about the job. Written at least once, so a record may repeat.", "rule or name"),
}
_TITLES = {"verdict": "Verdict", "enforcement": "Enforcement", "deadletter": "Dead letter", "status": "Status"}
_INPUTS = {
    "config": (
        "What changes a running job, and the audit log of it. One partition, kept for ever.",
        "`key` of the record",
    ),
    "lists": (
        "Members of lists, compacted: the newest record of a key counts, and a null value (a tombstone) takes it off.",
        "`LIST/ENTITY`",
    ),
}


def asyncapi() -> Json:
    """The document; payloads are the JSON Schema files beside it."""
    topics = [*_OUTPUTS, *_INPUTS]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Watchgate",
            "version": "1.0.0",
            "description": "Verdicts and enforcement as CloudEvents 1.0 in binary mode, values as JSON. "
            "Drop repeats by `ce_id`; pass over keys that you do not know.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_ident(topic): _channel(topic) for topic in topics},
        "operations": {
            _ident(("send." if topic in _OUTPUTS else "receive.") + topic): {
                "action": "send" if topic in _OUTPUTS else "receive",
                "channel": {"$ref": f"#/channels/{_ident(topic)}"},
                "messages": [{"$ref": f"#/channels/{_ident(topic)}/messages/{_message_of(topic)}"}],
            }
            for topic in topics
        },
        "components": {"messages": {_message_of(topic): _message(topic) for topic in topics}},
    }


def _ident(topic: str) -> str:
    """`verdicts.shadow` as verdictsShadow: the name of a channel inside the document."""
    first, *rest = topic.split(".")
    return first + "".join(word.capitalize() for word in rest)


def _message_of(topic: str) -> str:
    return _OUTPUTS[topic][0] if topic in _OUTPUTS else topic


def _channel(topic: str) -> Json:
    description = _OUTPUTS[topic][1] if topic in _OUTPUTS else _INPUTS[topic][0]
    name = _message_of(topic)
    return {
        "address": topic,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _message(topic: str) -> Json:
    name = _message_of(topic)
    key = _OUTPUTS[topic][2] if topic in _OUTPUTS else _INPUTS[topic][1]
    message: Json = {
        "name": name,
        "title": _TITLES.get(name, {"config": "Config record", "lists": "Member of a list"}.get(name)),
        "contentType": "application/json",
        "payload": _schema_file("member" if topic == "lists" else name),
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}},
    }
    if topic in _OUTPUTS:
        message["headers"] = _headers(TYPES[topic])
    return message


def _schema_file(name: str) -> Json:
    return {"schemaFormat": "application/schema+json;version=draft-07", "schema": {"$ref": f"./{name}.json"}}


def _headers(type_: str) -> Json:
    properties: Json = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "The same on every run and every retry."},
        "ce_source": {"type": "string", "description": "`/watchgate/` and the name of the policy."},
        "ce_type": {"const": type_},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it was written, by the wall clock."},
        "content-type": {"const": "application/json"},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}
