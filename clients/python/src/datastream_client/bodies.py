# Made of docs/schemas by bodies.sh: do not edit.
"""Bodies of events, by type, and their metadata.

Producers choose what is in an event: any field may be missing or None, and gateways do not check
that it has its documented type. Numbers are `int`, and `Decimal` where they are no `int`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, TypedDict


class ConnectivityBody(TypedDict, total=False):
    """
    Body of a `connectivity` event, under `connection`: a device went online or offline.
    """

    event_time: str | None
    """Time of the change: RFC 3339, UTC."""

    status: str | None
    """`Online` or `Offline`."""

    user_uuid: str | None
    """The user whose device it is."""


class DatapointBody(TypedDict, total=False):
    """
    Body of a `datapoint` event, under `datapoint`: a property of a device got a new value.
    """

    closed: bool | None
    """The datapoint is a file that is complete."""

    created_at: str | None
    """Time at which the cloud received it: RFC 3339, UTC."""

    created_at_from_device: str | None
    """Time at which the device measured it, if the device has a clock: RFC 3339, UTC."""

    echo: bool | None
    """The device sent back a value that had been sent to it."""

    id: str | None
    """Identity of the datapoint. An acknowledgement carries the one that it acknowledges."""

    metadata: dict[str, Any] | None
    """Metadata of the datapoint itself: an object of the producer's own."""

    updated_at: str | None
    """Time at which the cloud last touched it: RFC 3339, UTC."""

    user_uuid: str | None
    """The user whose device it is."""

    value: Any
    """
    The value of the property: any JSON. `null` is a value here, and numbers may have any number
    of digits.
    """


class DatapointackBody(TypedDict, total=False):
    """
    Body of a `datapointack` event, under `datapoint` and `datapointack` alike: a device
    acknowledged a value that was sent to it.
    """

    ack_id: str | None
    """Identity of the acknowledgement."""

    ack_message: int | None
    """Code that the device chose: 0 for success."""

    ack_status: int | None
    """Status, as those of HTTP: 200 for success."""

    acked_at: str | None
    """Time of the acknowledgement: RFC 3339, UTC."""

    closed: bool | None
    """The datapoint is a file that is complete."""

    created_at: str | None
    """Time at which the cloud received it: RFC 3339, UTC."""

    created_at_from_device: str | None
    """Time at which the device measured it, if the device has a clock: RFC 3339, UTC."""

    echo: bool | None
    """The device sent back a value that had been sent to it."""

    id: str | None
    """Identity of the datapoint. An acknowledgement carries the one that it acknowledges."""

    metadata: dict[str, Any] | None
    """Metadata of the datapoint itself: an object of the producer's own."""

    updated_at: str | None
    """Time at which the cloud last touched it: RFC 3339, UTC."""

    user_uuid: str | None
    """The user whose device it is."""

    value: Any
    """
    The value of the property: any JSON. `null` is a value here, and numbers may have any number
    of digits.
    """


class LocationBody(TypedDict, total=False):
    """
    Body of a `location` event, under `location_event`: a device reported where it is.
    """

    created_at: str | None
    """Time of the location: RFC 3339, UTC."""

    dsn: str | None
    """The serial number of the device."""

    ip: str | None
    """Public IP address of the device."""

    lat: int | str | Decimal | None
    """Latitude, in degrees north."""

    long: int | str | Decimal | None
    """Longitude, in degrees east."""

    provider: str | None
    """The way in which it was located."""

    user_uuid: str | None
    """The user whose device it is."""


class RegistrationBody(TypedDict, total=False):
    """
    Body of a `registration` event, under `registration_event`: a device was registered to a
    user, or unregistered.
    """

    dsn: str | None
    """The serial number of the device."""

    registered: bool | None
    """The device is registered now."""

    registered_at: str | None
    """Time at which it was registered, if it was: RFC 3339, UTC."""

    registration_type: str | None
    """The way in which the device was paired."""

    unregistered_at: str | None
    """Time at which it was unregistered, if it was: RFC 3339, UTC."""

    user_uuid: str | None
    """The user whose device it is now, if anybody's."""


class Metadata(TypedDict, total=False):
    """
    Metadata of an event: its type, its device and, for `datapoint` and `datapointack`, its
    property.
    """

    base_type: str | None
    """Type of the property's values: `boolean`, `integer`, `decimal` or `string`."""

    display_name: str | None
    """The property's name for people."""

    dsn: str | None
    """The serial number of the device."""

    event_type: Literal["connectivity", "datapoint", "datapointack", "location", "registration"]
    """One of the five event types."""

    oem_id: str | None
    """Identity of the manufacturer."""

    oem_model: str | None
    """The model of the device."""

    property_name: str | None
    """Name of the property, for datapoints and their acknowledgements."""

    resource_tags: list[str] | None
    """Tags of the device."""
