"""What several messages have: values as messages write them, and who they are about (webhooks.md 5)."""

from typing import Annotated, Any, cast
from uuid import UUID

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.common import ResponseModel

Amount = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$")]
Signed = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Moment = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", json_schema_extra={"format": "date-time"}),
]


def only(description: str) -> Any:
    """A field that is there only sometimes, and then never without a value that its type allows."""
    return Field(default_factory=lambda: None, description=description)


class MessageModel(ResponseModel):
    """A part of a message: nothing beside its fields, all of which are there unless they say when."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


_EITHER = [
    {"required": ["participant_id", "external_id"], "not": {"required": ["group_id"]}},
    {"required": ["group_id"], "not": {"anyOf": [{"required": ["participant_id"]}, {"required": ["external_id"]}]}},
]


class Party(MessageModel):
    """A participant or a group."""

    model_config = ConfigDict(json_schema_extra=cast("JsonDict", {"oneOf": _EITHER}))

    participant_id: UUID = only("Of a participant")
    external_id: str = only("Of a participant")
    group_id: UUID = only("Of a group")


class Buckets(MessageModel):
    """What a holder has of an asset; a group in one program."""

    available: Annotated[Signed, Field(description="Below zero only by overdraft")]
    held: Amount
    deferred: Amount
