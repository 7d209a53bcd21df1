"""`openscrip`: the command line. Commands import their code when they run, so that each starts as fast as it can."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cli.load import load
from domain.errors import DomainError
from runtime.processes import ServiceError
from runtime.settings import SettingsError

app = typer.Typer(name="openscrip", help="OpenScrip, a self-hosted rewards backend.", no_args_is_help=True, add_completion=False)
org = typer.Typer(help="Organizations: the tenants of this deployment.", no_args_is_help=True)
key = typer.Typer(help="API keys of an organization.", no_args_is_help=True)
app.add_typer(org, name="org")
app.add_typer(key, name="key")
webhooks = typer.Typer(help="Webhooks: see what the server posts.", no_args_is_help=True)
app.add_typer(webhooks, name="webhooks")
app.command()(load)

OrganizationId = Annotated[UUID, typer.Argument(help="Id of the organization, see `org list`.")]


@app.command()
def up() -> None:
    """Run everything on this machine: Postgres, Temporal with its UI, workers and the API."""
    from cli.up import run

    run()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: OPENSCRIP_API_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: OPENSCRIP_API_PORT.")] = None,
) -> None:
    """Run the API."""
    from cli.serve import run

    run(host, port)


@app.command()
def worker() -> None:
    """Run a Temporal worker."""
    from worker import main as run

    asyncio.run(run())


@app.command()
def migrate() -> None:
    """Bring the database to the current schema; create the bootstrap organization when its key is set."""
    from cli.migrate import run

    run()


@app.command()
def promote() -> None:
    """Make the worker version of the settings the current one: Temporal gives flows to its workers from now on."""
    from cli.promote import run

    run()


@app.command()
def doctor(
    *,
    settings: Annotated[bool, typer.Option("--settings", help="Print every setting with its default.")] = False,
) -> None:
    """Check this machine and the services that the settings point at."""
    from cli.doctor import run

    run(show_settings=settings)


@app.command()
def bench(
    seconds: Annotated[int, typer.Option(help="Seconds of each pgbench round.", min=1)] = 5,
    events: Annotated[int, typer.Option(help="Events of each batch round; the others send fewer.", min=20)] = 10_000,
    rounds: Annotated[int, typer.Option(help="Rounds of batch and single ingest.", min=1)] = 3,
    holders: Annotated[int, typer.Option(help="Holders of the tier whose periods end.", min=1)] = 30_000,
    entries: Annotated[int, typer.Option(help="Entries that fill the books before ingest is measured again.", min=1)] = 50_000,
    webhook_seconds: Annotated[int, typer.Option(help="Seconds of events with webhooks.", min=1)] = 20,
    only: Annotated[list[str] | None, typer.Option(help="A figure, such as batch or tiers; may be repeated.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the results to this file, too.", dir_okay=False)] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 when a budget is missed.")] = False,
) -> None:
    """Measure throughput and latency against pgbench, on servers and data of its own."""
    from cli.bench import run

    run(
        seconds=seconds,
        events=events,
        rounds=rounds,
        holders=holders,
        entries=entries,
        webhook_seconds=webhook_seconds,
        only=only,
        json_file=json,
        check=check,
    )


@app.command()
def verify(
    organization: Annotated[UUID | None, typer.Option(help="Only this organization, see `org list`.")] = None,
) -> None:
    """Verify the books offline: balances, lots, holds, budgets, stock and wallets, and the chain of hashes from its beginning."""
    from cli.verify import run

    run(organization)


@app.command()
def export(
    organization: OrganizationId,
    output: Annotated[Path | None, typer.Option(help="File to write to; default: standard output.", dir_okay=False)] = None,
) -> None:
    """Export the sealed journal of an organization as NDJSON, which anybody can verify (docs/ledger-format.md)."""
    from cli.export import run

    run(organization, output)


@app.command()
def recipe(
    name: Annotated[str | None, typer.Argument(help="Name of a recipe, or a TOML file of your own; without it the list.")] = None,
    url: Annotated[str | None, typer.Option(help="The API; default: where `up` serves it.")] = None,
    key: Annotated[
        str | None, typer.Option(envvar="OPENSCRIP_KEY", help="API key (sk_...); default: the one `up` keeps.")
    ] = None,
    *,
    try_it: Annotated[bool, typer.Option("--run", help="Do the recipe's steps, too, and compare what comes out.")] = False,
    show_all: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
) -> None:
    """Make a program of docs/recipes on a running server; with --run verify it to the cent."""
    from cli.recipes import run

    run(None if show_all else name, url=url, key=key, try_it=try_it)


@org.command("create")
def org_create(name: Annotated[str, typer.Argument(help="Name of the organization.")]) -> None:
    """Create an organization with its first API key, which is shown this once."""
    from cli.orgs import create

    create(name)


@org.command("list")
def org_list() -> None:
    """List the organizations."""
    from cli.orgs import show

    show()


@org.command("suspend")
def org_suspend(organization: OrganizationId) -> None:
    """Close the API to an organization; what it accepted before goes on."""
    from cli.orgs import suspend

    suspend(organization)


@org.command("resume")
def org_resume(organization: OrganizationId) -> None:
    """Open the API to a suspended organization."""
    from cli.orgs import resume

    resume(organization)


@key.command("create")
def key_create(
    organization: OrganizationId,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "API key",
) -> None:
    """Create an API key, which is shown this once."""
    from cli.keys import create

    create(organization, name)


@key.command("list")
def key_list(organization: OrganizationId) -> None:
    """List the API keys of an organization, without the keys themselves."""
    from cli.keys import show

    show(organization)


@key.command("revoke")
def key_revoke(api_key: Annotated[UUID, typer.Argument(help="Id of the key, see `key list`.")]) -> None:
    """Revoke an API key; requests with it are refused within 5 seconds."""
    from cli.keys import revoke

    revoke(api_key)


@webhooks.command("listen")
def webhooks_listen(
    *,
    port: Annotated[int, typer.Option(help="Port to listen on, on this machine only; 0 chooses a free one.", min=0)] = 9000,
    register: Annotated[
        bool, typer.Option("--register", help="Register here with the running server, with the key that `up` keeps.")
    ] = False,
    secret: Annotated[
        str | None, typer.Option(help="Secret to verify with, whsec_...", envvar="OPENSCRIP_LISTEN_SECRET", show_envvar=True)
    ] = None,
    event: Annotated[list[str] | None, typer.Option(help="Event type to register for; may be repeated. Default: all.")] = None,
    status: Annotated[int, typer.Option(help="What to answer; 500 shows retries.", min=200, max=599)] = 200,
) -> None:
    """Receive webhooks on this machine, verify their signatures and show them."""
    from cli.webhooks import run

    run(port=port, register=register, secret=secret, events=event or ["*"], status=status)


def main() -> None:
    """Run a command; failures of services and settings become one line each and exit code 1."""
    try:
        app()
    except (DomainError, ServiceError, SettingsError) as error:
        sys.stderr.write(f"openscrip: {error}\n")
        sys.exit(1)
