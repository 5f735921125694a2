"""The types of events, which mypy and pyright check here, and the tests check when they run."""

from __future__ import annotations

from decimal import Decimal

import pytest
from typing_extensions import assert_never, assert_type

from datastream_client import (
    ConnectivityBody,
    ConnectivityEvent,
    DatapointackBody,
    DatapointackEvent,
    DatapointBody,
    DatapointEvent,
    Event,
    LocationBody,
    LocationEvent,
    Metadata,
    RegistrationBody,
    RegistrationEvent,
    UntypedEvent,
    parse_event,
)


def body_by_type(event: Event) -> object:
    assert_type(event.metadata, Metadata)
    if event.event_type == "connectivity":
        assert_type(event.body, ConnectivityBody)
        return event.body.get("status")
    if event.event_type == "datapoint":
        assert_type(event.body, DatapointBody)
        return event.body.get("value")
    if event.event_type == "datapointack":
        assert_type(event.body, DatapointackBody)
        return event.body.get("ack_status")
    if event.event_type == "location":
        assert_type(event.body, LocationBody)
        assert_type(event.body.get("lat"), int | str | Decimal | None)
        return event.body.get("lat")
    if event.event_type == "registration":
        assert_type(event.body, RegistrationBody)
        return event.body.get("registered")
    assert_type(event, UntypedEvent)
    return assert_type(event.body, None)


def body_by_class(event: Event) -> object:
    match event:
        case ConnectivityEvent(body=body):
            return body.get("status")
        case DatapointEvent(body=body):
            return body.get("value")
        case DatapointackEvent(body=body):
            return body.get("ack_status")
        case LocationEvent(body=body):
            return body.get("lat")
        case RegistrationEvent(body=body):
            return body.get("registered")
        case UntypedEvent(body=nothing):
            return nothing
        case _:
            assert_never(event)


@pytest.mark.parametrize(
    ("event_type", "body", "expected"),
    [
        ("connectivity", '"connection":{"status":"Online"}', "Online"),
        ("datapoint", '"datapoint":{"value":2.50}', Decimal("2.50")),
        ("datapointack", '"datapointack":{"ack_status":200}', 200),
        ("location", '"location_event":{"lat":" 44.76"}', " 44.76"),
        ("registration", '"registration_event":{"registered":true}', True),
        ("reboot", '"datapoint":{"value":1}', None),
    ],
)
def test_the_type_of_an_event_tells_that_of_its_body(
    event_type: str, body: str, expected: object
) -> None:
    event = parse_event(f'{{"seq":"7","metadata":{{"event_type":"{event_type}"}},{body}}}')
    assert isinstance(event, Event)
    assert body_by_type(event) == expected
    assert body_by_class(event) == expected
