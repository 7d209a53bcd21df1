"""Deliveries to a receiver that answers at once, beside events at a steady rate."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from bench.plan import Report
from bench.receiver import Arrivals
from bench.results import WebhookLoad, percentile
from bench.server import BenchStack
from bench.world import create_endpoint
from runtime.processes import free_port

RECEIVER = ("-m", "bench.receiver")
# Events a second, and the endpoints that hear of each one.
RATE = 200.0
ENDPOINTS = 2


@dataclass(frozen=True, slots=True)
class Listeners:
    """Endpoints of one receiver on this machine."""

    port: int
    endpoint_ids: tuple[str, ...]

    def arrivals(self) -> Arrivals:
        """What the receiver got so far."""
        found = httpx.get(f"http://127.0.0.1:{self.port}/", trust_env=False, timeout=30).json()
        return Arrivals(found["at"], found["ages"])


@contextmanager
def listen(stack: BenchStack, client: httpx.Client) -> Iterator[Listeners]:
    """Start a receiver and register it as endpoints, which are archived at the end."""
    port = free_port()
    stack.keep(stack.helper("receiver", (*RECEIVER, str(port))))
    listeners = Listeners(port, tuple(create_endpoint(client, port) for _ in range(ENDPOINTS)))
    yield listeners
    for endpoint_id in listeners.endpoint_ids:
        client.delete(f"/v1/webhook-endpoints/{endpoint_id}")


def judge(arrivals: Arrivals, report: Report, events: int, cpu: Mapping[str, float]) -> WebhookLoad:
    """What the arrivals say of a load whose events were sent between `report.began` and `report.ended`."""
    seconds = report.ended - report.began
    came = sorted(arrivals.at)
    wanted = events * ENDPOINTS
    half, whole = (bisect_right(came, report.began + seconds * share) for share in (0.5, 1.0))
    ages = [1000 * age for age in arrivals.ages]
    return WebhookLoad(
        rate=round(events / seconds, 1),
        seconds=round(seconds, 2),
        endpoints=ENDPOINTS,
        deliveries=len(came),
        received_per_second=round(whole / seconds, 1),
        received_p50=round(percentile(ages, 50), 2),
        received_p99=round(percentile(ages, 99), 2),
        behind_half_way=max(0, round(wanted / 2) - half),
        behind=max(0, wanted - whole),
        cpu=dict(cpu),
    )
