"""Events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args

from datastream_client.bodies import (
    ConnectivityBody,
    DatapointackBody,
    DatapointBody,
    LocationBody,
    Metadata,
    RegistrationBody,
)
from datastream_client.happened import parse_time
from datastream_client.members import Members
from datastream_client.seq import EventIdentity, after, identity_of

EventType = Literal["connectivity", "datapoint", "datapointack", "location", "registration"]

_BODY_NAMES: Mapping[EventType, tuple[str, ...]] = {
    "connectivity": ("connection",),
    "datapoint": ("datapoint",),
    "datapointack": ("datapoint", "datapointack"),
    "location": ("location_event",),
    "registration": ("registration_event",),
}

# The fields of a body that say when the event happened, the most specific one first.
_TIMES = (
    "event_time",
    "acked_at",
    "updated_at",
    "registered_at",
    "unregistered_at",
    "created_at",
)


_Type = TypeVar("_Type")
_Body = TypeVar("_Body")


@dataclass(frozen=True)
class _Event(Generic[_Type, _Body]):
    """What every event has. Two are equal if their JSON is.

    Producers choose what they send: any field may be missing, which is None here, as is `null`.
    Numbers are `int`, and `Decimal` where they are no `int`.
    """

    json: str
    """The event's JSON as it came."""
    seq: str = field(compare=False)
    """The sequence number: decimal digits, up to thousands of them."""
    identity: EventIdentity = field(compare=False)
    """Partition and offset of the event, the same under whichever `seq` it comes."""
    event_type: _Type = field(compare=False)
    """The type; None if it is none of the five, or if there is no body of it."""
    type_name: str | None = field(compare=False)
    """The type as the producer wrote it."""
    dsn: str | None = field(compare=False)
    """The serial number of the device."""
    property_name: str | None = field(compare=False)
    """The property, of events about one."""
    happened: str | None = field(compare=False)
    """Time at which the event happened, as its producer wrote it (RFC 3339)."""
    metadata: Metadata = field(compare=False)
    """The members of `metadata`, also those that are not documented."""
    body: _Body = field(compare=False)
    """The body that belongs to the type, with the members that are not documented."""
    value: Any = field(compare=False)
    """The value of the property, of a datapoint or datapointack."""
    raw_value: str | None = field(compare=False)
    """The JSON text of the value; None if there is none, which `null` is not."""
    fields: Members = field(compare=False, repr=False)
    """The members of the body, each with the JSON text that was sent: `fields.raw("lat")`."""

    @property
    def next(self) -> str:
        """The number to start with to get what follows this event: `seq` + 1."""
        return after(self.seq)

    @property
    def happened_at(self) -> datetime | None:
        """`happened` as an aware datetime, to the microsecond; None if it is no RFC 3339."""
        return None if self.happened is None else parse_time(self.happened)

    def to_record(self) -> dict[str, Any]:
        """Returns a flat dict with the same keys for every event, one row of a table."""
        return {
            "seq": self.seq,
            "partition": self.identity.partition,
            "offset": self.identity.offset,
            "event_type": self.type_name,
            "dsn": self.dsn,
            "property_name": self.property_name,
            "happened": self.happened,
            "happened_at": self.happened_at,
            "value": self.value,
            "raw_value": self.raw_value,
            "json": self.json,
        }


class ConnectivityEvent(_Event[Literal["connectivity"], ConnectivityBody]):
    """A device went online or offline."""


class DatapointEvent(_Event[Literal["datapoint"], DatapointBody]):
    """A property of a device got a new value."""


class DatapointackEvent(_Event[Literal["datapointack"], DatapointackBody]):
    """A device acknowledged a value that was sent to it."""


class LocationEvent(_Event[Literal["location"], LocationBody]):
    """A device reported where it is."""


class RegistrationEvent(_Event[Literal["registration"], RegistrationBody]):
    """A device was registered to a user, or unregistered."""


class UntypedEvent(_Event[None, None]):
    """An event of a type that this library does not know, or without the body of its type."""


Event: TypeAlias = (
    ConnectivityEvent
    | DatapointEvent
    | DatapointackEvent
    | LocationEvent
    | RegistrationEvent
    | UntypedEvent
)
"""An event. Its class, or `event_type`, tells which of the five types it is of, and so its body."""

_CLASSES: Mapping[EventType, type[Event]] = {
    "connectivity": ConnectivityEvent,
    "datapoint": DatapointEvent,
    "datapointack": DatapointackEvent,
    "location": LocationEvent,
    "registration": RegistrationEvent,
}


def parse_event(json: str) -> Event:
    """Reads an event from its JSON, by the rules that all programs of datastream share.

    `null` counts as missing (of a property's value, it is one), of several members with one name
    the first one counts, and the body is the one of the event's type. Raises ValueError if the text
    is no JSON object with the sequence number of an event.
    """
    members = Members(json)
    seq = members.text("seq") or ""
    identity = identity_of(seq)
    if identity is None:
        raise ValueError(f"no event: its seq is {members.raw('seq') or 'missing'}")
    metadata = Members(members.get("metadata"))
    type_name = metadata.text("event_type")
    known_type = _known_type(type_name)
    names = () if known_type is None else _BODY_NAMES[known_type]
    body = _first_found(names, members.get)
    event_type = known_type if body is not None and body.startswith("{") else None
    has_value = event_type in ("datapoint", "datapointack")
    fields = Members(body)
    values: dict[str, Any] = {
        "json": json,
        "seq": seq,
        "identity": identity,
        "event_type": event_type,
        "type_name": type_name,
        "dsn": metadata.text("dsn"),
        "property_name": metadata.text("property_name"),
        "happened": _first_found(_TIMES, fields.text),
        "metadata": metadata.to_dict(),
        "body": None if event_type is None else fields.to_dict(),
        "value": fields.value("value") if has_value else None,
        "raw_value": fields.raw("value") if has_value else None,
        "fields": fields,
    }
    return UntypedEvent(**values) if event_type is None else _CLASSES[event_type](**values)


def _known_type(name: str | None) -> EventType | None:
    known: tuple[EventType, ...] = get_args(EventType)
    return next((event_type for event_type in known if event_type == name), None)


def _first_found(names: Iterable[str], find: Callable[[str], str | None]) -> str | None:
    return next((found for found in map(find, names) if found is not None), None)
