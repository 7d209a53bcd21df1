"""Refusals that were carried as text, for instance through a flow, made whole again."""

from collections.abc import Mapping

from domain.errors import DomainError


def refusal_of(code: str, message: str, details: Mapping[str, object]) -> DomainError:
    """A refusal that was carried as text, as it was raised elsewhere."""
    found = _with_code(DomainError, code) or DomainError
    refusal = found.__new__(found)
    DomainError.__init__(refusal, message, **details)
    return refusal


def _with_code(base: type[DomainError], code: str) -> type[DomainError] | None:
    for kind in base.__subclasses__():
        found = kind if kind.__dict__.get("code") == code else _with_code(kind, code)
        if found is not None:
            return found
    return None
