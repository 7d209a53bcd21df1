"""What the test clock does at a moment, without its flow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from activities.clock import _Visit
from activities.webhook_sender import open_sender
from activities.webhooks import FulfillmentSender
from db.session import Database
from runtime.settings import Settings
from tests.services.lane_world import LANES


def _nothing() -> None:
    pass


@contextmanager
def visiting(database: Database, deadline: float = float("inf"), beat: Callable[[], None] = _nothing) -> Iterator[_Visit]:
    """A visit that ends at `deadline` of the monotonic clock and tells `beat` how it gets on."""
    settings = Settings(database_url=SecretStr(database.url))
    with open_sender(settings) as deliveries:
        yield _Visit(database, LANES, FulfillmentSender(database, settings), deliveries, deadline, beat)
