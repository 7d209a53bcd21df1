"""A whole stack in processes of its own, watched: traces connect what belongs together, lines name what they are about, and
nothing private is in any of them."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import free_port
from tests.support.client import Tenant, new_tenant
from tests.support.club import make_club
from tests.support.cluster import Cluster, run_cluster
from tests.support.collector import Seen, chain, spans
from tests.support.databases import make_database
from tests.support.receiver import Receiver, Reply, receive
from tests.support.shop import Shop
from tests.support.stack import SECRET_KEY, poll

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

# Marks of everything that nobody may read anywhere but in the database.
PERSON = "private-person"
WORDS = "private-words"
ANSWER = "private-answer"
PATH = "private-path"


@dataclass
class Watched:
    """The running stack and what it told."""

    cluster: Cluster
    tenant: Tenant
    traces: Receiver
    hooks: Receiver
    metrics_ports: list[int]
    event_id: str
    redemption_id: str
    handed_over_id: str
    secrets: list[str]
    logs: Path

    def lines(self) -> list[dict[str, Any]]:
        texts = [file.read_text() for file in sorted(self.logs.glob("*.log"))]
        return [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]

    def wait_for(self, name: str, **attributes: Any) -> tuple[dict[str, Seen], Seen]:
        """All spans, once one with this name and these attributes of ours has come with everything above it."""
        wanted = {f"openscrip.{key}": value for key, value in attributes.items()}

        def look() -> tuple[dict[str, Seen], Seen] | None:
            found = spans(self.traces)
            for span in found.values():
                if span.name == name and wanted.items() <= span.attributes.items() and "?" not in chain(found, span):
                    return found, span
            return None

        return poll(look, 20)


@pytest.fixture(scope="module")
def watched(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    url = make_database(postgres.dsn, "watched")
    port = free_port()
    with (
        receive() as traces,
        receive(script=lambda _: Reply(200, ANSWER.encode())) as hooks,
        closing(Database(url, pool_size=2)) as database,
        EmbeddedTemporal(folder / "temporal", headless=True, in_memory=True) as temporal,
        run_cluster(
            url,
            temporal,
            folder,
            OPENSCRIP_OTLP_ENDPOINT=traces.url.removesuffix("/hooks"),
            OTEL_BSP_SCHEDULE_DELAY="100",
            OPENSCRIP_LOG_FORMAT="json",
            OPENSCRIP_LOG_LEVEL="DEBUG",
            OPENSCRIP_SECRET_KEY=SECRET_KEY.get_secret_value(),
            OPENSCRIP_WEBHOOK_ALLOW_PRIVATE="1",
            OPENSCRIP_TEMPORAL_NAMESPACE=temporal.namespace,
            OPENSCRIP_WORKER_METRICS_PORT=str(port),
        ) as cluster,
    ):
        tenant = new_tenant(database, cluster.url)
        with closing(tenant.http):
            yield drive(cluster, tenant, traces, hooks, port, folder / "logs", database)


def drive(
    cluster: Cluster, tenant: Tenant, traces: Receiver, hooks: Receiver, port: int, logs: Path, database: Database
) -> Watched:
    """Do what has something private in it, also what is refused."""
    hook_url = f"{hooks.url}/{PATH}"
    endpoint = tenant.post("/v1/webhook-endpoints", {"url": hook_url, "enabled_events": ["event.completed"]}, 201)
    club = make_club(tenant, database)
    club.ten_per_unit()
    event = club.send({"type": "purchase", "amount": 5, "note": WORDS}, PERSON)
    club.processed(event["id"])
    shop = Shop(tenant)
    shop.credit("USD", "100.00")
    reward_id, reward_secret = shop.hooked(hook_url)
    handed_over = shop.take(reward_id)
    redeemed = shop.redeem("1.00", description=WORDS)
    tenant.http.get("/v1/participants", params={"search": PERSON})
    tenant.http.get(f"/v1/{PATH}")
    tenant.http.post("/v1/events", json={"program_id": WORDS, "external_id": PERSON})
    tenant.http.post("/v1/events", content=f'{{"{WORDS}": ')
    club.processed(club.send({"type": "purchase", "amount": WORDS}, PERSON)["id"])
    httpx.get(f"{cluster.url}/v1/programs", headers={"Authorization": f"Bearer sk_{WORDS}"}, trust_env=False)
    hooks.wait_for(2)
    secrets = [tenant.key, endpoint["secret"], reward_secret, SECRET_KEY.get_secret_value(), WORDS, PERSON, ANSWER, PATH]
    ids = (event["id"], redeemed["id"], handed_over["id"])
    return Watched(cluster, tenant, traces, hooks, [port], *ids, secrets, logs)


def test_a_redemption_is_one_trace_from_the_request_to_the_commit(watched: Watched) -> None:
    def look() -> list[str] | None:
        found = spans(watched.traces)
        for span in found.values():
            if (
                span.name == "RunActivity:redeem"
                and span.attributes["temporalWorkflowID"] == f"redemption/{watched.redemption_id}"
            ):
                below = [each for each in found.values() if each.parent == span.id and each.name == "transaction"]
                statements = [each for each in found.values() if below and each.parent == below[0].id]
                if statements and "?" not in chain(found, span):
                    assert any("INTO redemptions" in each.attributes["db.statement"] for each in statements)
                    return chain(found, below[0])
        return None

    above = ["StartWorkflow:RedemptionWorkflow", "POST /v1/participants/{id}/redemptions"]
    assert poll(look, 20) == ["transaction", "RunActivity:redeem", "StartActivity:redeem", *above]
    # that a flow runs is a point in time to Temporal, beside what the flow does
    flow_id = f"redemption/{watched.redemption_id}"
    ran = [
        span
        for span in spans(watched.traces).values()
        if span.name == "RunWorkflow:RedemptionWorkflow" and span.attributes["temporalWorkflowID"] == flow_id
    ]
    assert [chain(spans(watched.traces), span)[1:] for span in ran] == [above]


def test_an_event_is_one_trace_from_the_request_to_the_webhook(watched: Watched) -> None:
    found, attempt = watched.wait_for("webhook attempt", message_type="event.completed", answer=200)
    assert chain(found, attempt) == ["webhook attempt", "process event", "POST /v1/events"]
    processed, request = found[attempt.parent], found[found[attempt.parent].parent]
    assert (attempt.service, processed.service, request.service) == ("openscrip-worker", "openscrip-worker", "openscrip-api")
    assert processed.attributes["openscrip.status"] == "COMPLETED"
    [batch_id] = processed.links
    found = poll(lambda: found if batch_id in (found := spans(watched.traces)) else None, 20)
    batch = found[batch_id]
    assert processed.id in batch.links
    poll(lambda: chain(spans(watched.traces), batch) == ["lane batch", "RunActivity:drain_lane"], 20)
    stored = [span for span in found.values() if span.name == "store events" and span.parent == request.id]
    assert [chain(found, span)[-1] for span in stored] == ["POST /v1/events"]


def test_a_fulfilment_is_in_the_trace_of_its_redemption(watched: Watched) -> None:
    found, attempt = watched.wait_for("fulfillment attempt", redemption_id=watched.handed_over_id)
    assert chain(found, attempt)[-1] == "POST /v1/participants/{id}/redemptions/items"
    assert attempt.attributes["openscrip.answer"] == 200


def test_a_client_s_own_trace_goes_on(watched: Watched) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "baggage": f"who={PERSON}", "X-Request-Id": "mine-1"}
    assert watched.tenant.http.get("/v1/programs", headers=headers).status_code == 200
    [request] = poll(lambda: [span for span in spans(watched.traces).values() if span.trace == trace and "GET" in span.name], 20)
    assert request.attributes["openscrip.request_id"] == "mine-1"
    assert (request.name, request.parent) == ("GET /v1/programs", "b7ad6b7169203331")


def test_lines_name_their_flow_and_trace(watched: Watched) -> None:
    [line] = poll(lambda: [line for line in watched.lines() if line["event"] == "fulfillment_attempted"], 20)
    assert line["workflow_id"] == f"fulfillment/{watched.handed_over_id}"
    assert (line["activity"], line["attempt"]) == ("attempt_fulfillment", 1)
    assert re.fullmatch("[0-9a-f]{32}", line["trace_id"])


def test_nothing_private_is_told(watched: Watched) -> None:
    watched.wait_for("webhook attempt", message_type="event.completed")
    logs = "".join(file.read_text() for file in watched.logs.glob("*.log"))
    told = b"".join(request.body for request in watched.traces.received)
    assert watched.event_id.encode() in told
    for secret in watched.secrets:
        assert secret not in logs, secret
        assert secret.encode() not in told, secret


def test_a_worker_serves_what_it_has_measured(watched: Watched) -> None:
    [port] = watched.metrics_ports

    def look() -> str | None:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        return text if 'openscrip_lane_backlog{lane="0"}' in text else None

    text = poll(look, 20)
    assert 'openscrip_database_connections_max{pool="activities"}' in text
    assert 'openscrip_lane_oldest_seconds{lane="7"}' in text
    api = httpx.get(f"{watched.cluster.url}/metrics", trust_env=False).text
    assert 'openscrip_redemptions_total{kind="redemption",result="done"} 2.0' in api
    assert 'openscrip_database_connections_max{pool="requests"} 10.0' in api
