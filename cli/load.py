"""`openscrip load`: send a CSV of purchases as events, with a progress bar; any number of times, with one effect."""

import asyncio
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from domain.event_data import encode_event_data

BATCH_EVENTS = 100
ATTEMPTS = 30
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
console = Console()

CASHBACK_RULES: tuple[dict[str, Any], ...] = (
    {
        "order": 100,
        "name": "3 % back",
        "condition": "event.amount > 0",
        "actions": [{"type": "CREDIT", "amount": "event.amount * 0.03"}],
    },
    {
        "order": 200,
        "name": "Welcome bonus",
        "condition": 'event.amount > 0 && !("welcomed" in participant.tags)',
        "actions": [{"type": "CREDIT", "amount": "5.00"}, {"type": "TAG", "tag": "welcomed"}],
    },
    {
        "order": 300,
        "name": "Spend so far",
        "condition": "true",
        "actions": [{"type": "COUNTER", "key": "spend", "value": "event.amount"}],
    },
    {
        "order": 400,
        "name": "Big spender",
        "condition": 'get(participant.counters, "spend", 0) < 100 && get(participant.counters, "spend", 0) + event.amount >= 100',
        "actions": [{"type": "TAG", "tag": "big_spender"}],
    },
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the file mean what; all others travel in `event_data` as texts."""

    customer: str
    date: str
    amount: str


@dataclass(slots=True)
class Tally:
    """What the server answered."""

    accepted: int = 0
    errors: list[str] = field(default_factory=list)


def load(
    file: Annotated[Path, typer.Argument(help="CSV with a header line", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Option(envvar="OPENSCRIP_KEY", help="API key (sk_...)")],
    url: Annotated[str, typer.Option(help="The API")] = "http://127.0.0.1:8000",
    program: Annotated[str | None, typer.Option(help="Program id; by default a cashback program is made or reused")] = None,
    customer: Annotated[str, typer.Option(help="Column with your id of the customer")] = "customer_id",
    date: Annotated[str, typer.Option(help="Column with the date or RFC 3339 time")] = "date",
    amount: Annotated[str, typer.Option(help="Column with the amount")] = "amount",
    streams: Annotated[int, typer.Option(help="Customers are spread over so many streams", min=1, max=32)] = 4,
    wait: Annotated[bool, typer.Option(help="Wait until all events are processed")] = True,
) -> None:
    """Send purchases as events, one customer's in the order of the file; keys are <file>-<line>, so repeating changes nothing."""
    try:
        asyncio.run(_load(file, url, key, program, Columns(customer, date, amount), streams, wait))
    except httpx.HTTPStatusError as error:
        console.print(f"the API answered {error.response.status_code}: {error.response.text}", style="red")
        raise typer.Exit(1) from None
    except httpx.TransportError as error:
        console.print(f"{url} can't be reached: {error}", style="red")
        raise typer.Exit(1) from None


async def _load(file: Path, url: str, key: str, program: str | None, columns: Columns, streams: int, wait: bool) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        program_id = program or await cashback_program(client)
        lines = sum(1 for _ in read(file, columns, program_id))
        tally, began = Tally(), time.monotonic()
        with _progress() as bar:
            task = bar.add_task("accepted", total=lines)
            await asyncio.gather(
                *(_stream(client, file, columns, program_id, (n, streams), tally, bar, task) for n in range(streams))
            )
            if wait:
                await _drained(client, program_id, bar)
        seconds = time.monotonic() - began
    console.print(
        f"program {program_id}: {tally.accepted} events in {seconds:.1f} s, {tally.accepted / seconds:.0f}/s, "
        f"{len(tally.errors)} refused"
    )
    for message in tally.errors[:10]:
        console.print(f"  {message}", style="red")
    if tally.errors:
        raise typer.Exit(1)


def _progress() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console)


def read(file: Path, columns: Columns, program_id: str) -> Iterator[tuple[str, str]]:
    """(customer, event as JSON) for each line of the file. Raises typer.BadParameter naming the line that can't be read."""
    with file.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened)
        missing = {columns.customer, columns.date, columns.amount} - set(reader.fieldnames or ())
        if missing:
            raise typer.BadParameter(f"{file.name} has no column {', '.join(sorted(missing))}")
        for row in reader:
            key = f"{file.name}-{reader.line_num}"
            try:
                yield row[columns.customer], _event(row, columns, program_id, key)
            except (InvalidOperation, TypeError) as error:
                raise typer.BadParameter(f"{file.name} line {reader.line_num}: {columns.amount} isn't a number") from error


def _event(row: dict[str, str], columns: Columns, program_id: str, key: str) -> str:
    moment = row[columns.date].strip()
    if "T" not in moment:
        moment += "T00:00:00Z"
    data: dict[str, object] = {"type": "purchase", "amount": Decimal(row[columns.amount].strip())}
    data |= {name: value for name, value in row.items() if name not in (columns.customer, columns.date, columns.amount) and value}
    event = {
        "program_id": program_id,
        "idempotency_key": key,
        "external_id": row[columns.customer],
        "event_timestamp": moment,
        "event_data": data,
    }
    encoded = encode_event_data(event)
    if not isinstance(encoded, str):
        raise typer.BadParameter(f"{key}: {encoded.message}")
    return encoded


async def _stream(
    client: httpx.AsyncClient,
    file: Path,
    columns: Columns,
    program_id: str,
    share: tuple[int, int],
    tally: Tally,
    bar: Progress,
    task: TaskID,
) -> None:
    """Send this stream's customers, a batch at a time, each after the other, so that a customer's order holds."""
    number, streams = share
    batch: list[str] = []
    for customer, event in read(file, columns, program_id):
        if sum(customer.encode()) % streams != number:
            continue
        batch.append(event)
        if len(batch) == BATCH_EVENTS:
            await _send(client, batch, tally, bar, task)
            batch = []
    if batch:
        await _send(client, batch, tally, bar, task)


async def _send(client: httpx.AsyncClient, batch: list[str], tally: Tally, bar: Progress, task: TaskID) -> None:
    answer = await _post(client, '{"events":[' + ",".join(batch) + "]}")
    tally.accepted += answer["success_count"]
    tally.errors += [
        f"{item['code']}: {item['error']} {item['details']}" for item in answer["results"] if item["status"] == "error"
    ]
    bar.advance(task, answer["total"])


async def _post(client: httpx.AsyncClient, body: str) -> dict[str, Any]:
    """Post a batch until the server takes it: after a lost answer the same keys change nothing."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            response = await client.post("/v1/events/batch", content=body.encode())
        except httpx.TransportError:
            if attempt == ATTEMPTS:
                raise
        else:
            if response.status_code not in (429, 500, 503):
                response.raise_for_status()
                answer: dict[str, Any] = response.json()
                return answer
        await asyncio.sleep(RETRY_SECONDS)
    raise typer.Exit(1)


async def _drained(client: httpx.AsyncClient, program_id: str, bar: Progress) -> None:
    """Wait until no event of the program is waiting any more."""
    task = bar.add_task("processed", total=None)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        waiting = 0
        for status in ("RECEIVED", "PENDING"):
            response = await client.get("/v1/events", params={"program_id": program_id, "status": status, "limit": 1})
            waiting += len(response.json()["data"])
        if not waiting:
            bar.update(task, total=1, completed=1)
            return
        await asyncio.sleep(0.2)
    console.print("events are still waiting", style="yellow")


async def cashback_program(client: httpx.AsyncClient) -> str:
    """The program "Cashback" with its LOT asset and the four rules of the example; made when there is none."""
    found = (await client.get("/v1/programs", params={"search": "Cashback"})).raise_for_status().json()["data"]
    for known in found:
        if known["name"] == "Cashback":
            return str(known["id"])
    program = (await client.post("/v1/programs", json={"name": "Cashback"})).raise_for_status().json()
    asset = {
        "program_id": program["id"],
        "name": "Cashback",
        "symbol": f"CASH{program['id'][-6:]}",
        "inventory_mode": "LOT",
        "issuance_policy": "UNLIMITED",
        "scale": 2,
    }
    asset_id = (await client.post("/v1/assets", json=asset)).raise_for_status().json()["id"]
    for rule in CASHBACK_RULES:
        actions = [{**action, "asset_id": asset_id} if action["type"] == "CREDIT" else action for action in rule["actions"]]
        body = {**rule, "program_id": program["id"], "actions": actions}
        (await client.post("/v1/rules", json=body)).raise_for_status()
    return str(program["id"])
