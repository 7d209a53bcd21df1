"""What endpoints ask for: the call they answer, with its tenant, its database, its preferences."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Path, Request
from sqlmodel import Session

from api.admission import Principal
from api.schemas.types import Uuid
from db.session import Database
from runtime.settings import Settings
from runtime.webhook_secrets import WebhookSecrets
from services.transactions import transact

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request."""

    principal: Principal
    database: Database
    request: Request

    @property
    def organization_id(self) -> UUID:
        """The tenant: everything that is read or written belongs to it."""
        return self.principal.organization_id

    @property
    def api_key_id(self) -> UUID:
        """The key that asked, for `created_by_api_key_id` and histories."""
        return self.principal.api_key_id

    @property
    def request_id(self) -> str:
        """The id that answer and logs carry."""
        found: str = self.request.state.request_id
        return found

    @property
    def is_strict(self) -> bool:
        """`Prefer: handling=strict`: refuse amounts with more decimals than the asset has."""
        preferences = ",".join(self.request.headers.getlist("prefer")).replace(";", ",").split(",")
        return any(part.replace(" ", "").replace('"', "").lower() == "handling=strict" for part in preferences)

    @property
    def settings(self) -> Settings:
        """The settings of the app that serves the request."""
        found: Settings = self.request.app.state.settings
        return found

    @property
    def webhook_secrets(self) -> WebhookSecrets:
        """What makes and seals secrets of webhooks."""
        return WebhookSecrets(self.settings)

    def run(self, work: Callable[[Session], T]) -> T:
        """Run a use case in one transaction and commit, before anything is answered; deadlocks are run again.

        Only from `def` endpoints, which FastAPI calls on a thread.
        """
        return transact(self.database, work)


async def call_of(request: Request) -> Call:
    """The call that a request makes."""
    return Call(request.state.principal, request.app.state.database, request)


CallDep = Annotated[Call, Depends(call_of)]

PathId = Annotated[Uuid, Path(alias="id", description="The resource's UUID")]
ProgramPathId = Annotated[Uuid, Path(alias="programId", description="The program's UUID")]
AssetPathId = Annotated[Uuid, Path(alias="assetId", description="The asset's UUID")]
ParticipantPathId = Annotated[Uuid, Path(alias="participantId", description="The participant's UUID")]
