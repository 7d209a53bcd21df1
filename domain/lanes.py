"""Lanes: events of one participant are processed one at a time, in order; different lanes run side by side (ADR 1)."""

from uuid import UUID


def lane_of(order_key: UUID, lanes: int) -> int:
    """The lane of a participant (or of a program, for events without one); the number of lanes is fixed per deployment."""
    # the low bits of a UUIDv7 are random, the high ones are time
    return (order_key.int & 0xFFFF_FFFF) % lanes
