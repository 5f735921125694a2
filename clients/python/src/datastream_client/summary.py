"""Events in a few words."""

from __future__ import annotations

from datastream_client.event import Event
from datastream_client.members import Members, text_of


def summarize(event: Event) -> str:
    """Describes an event in a few words: the value of a property, a place, `Online`.

    Numbers are shown as they were sent. An event without the body of its type is described by its
    JSON.
    """
    fields = event.fields
    if event.event_type == "connectivity":
        return _text(fields, "status")
    if event.event_type == "datapoint":
        return _value(event)
    if event.event_type == "datapointack":
        return _value(event) + _in_brackets("ack ", fields.text("ack_status"))
    if event.event_type == "location":
        place = f"{_text(fields, 'lat').strip()}, {_text(fields, 'long').strip()}"
        return place + _in_brackets("", fields.text("provider"))
    if event.event_type == "registration":
        return "registered" if fields.get("registered") == "true" else "unregistered"
    return event.json


def _value(event: Event) -> str:
    return "?" if event.raw_value is None else text_of(event.raw_value)


def _text(fields: Members, name: str) -> str:
    text = fields.text(name)
    return "?" if text is None else text


def _in_brackets(label: str, text: str | None) -> str:
    return "" if text is None else f" ({label}{text})"
