"""The manifests for Kubernetes: their form as far as it is used here, and that they say what the compose file and the code say."""

from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.routes import ROUTERS
from cli import serve, up
from runtime.settings import settings_table
from tests.docs.settings_table import ROOT
from worker import GRACE


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class Meta(Strict):
    name: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class HttpGet(Strict):
    path: str
    port: str


class Probe(Strict):
    http_get: HttpGet
    period_seconds: int
    timeout_seconds: int = 1
    failure_threshold: int


class Port(Strict):
    name: str
    container_port: int


class Reference(Strict):
    name: Literal["openscrip"]


class EnvironmentSource(Strict):
    config_map_ref: Reference | None = None
    secret_ref: Reference | None = None


class Capabilities(Strict):
    drop: list[Literal["ALL"]]


class ContainerSecurity(Strict):
    allow_privilege_escalation: Literal[False]
    capabilities: Capabilities


class Container(Strict):
    name: str
    image: Literal["openscrip:latest"]
    command: Annotated[list[str], Field(min_length=1)]
    env_from: list[EnvironmentSource]
    ports: list[Port] = []
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    startup_probe: Probe | None = None
    security_context: ContainerSecurity


class PodSecurity(Strict):
    run_as_non_root: Literal[True]
    run_as_user: Literal[10001]


class PodSpec(Strict):
    restart_policy: Literal["OnFailure"] | None = None
    termination_grace_period_seconds: int = 30
    security_context: PodSecurity
    containers: Annotated[list[Container], Field(min_length=1, max_length=1)]


class Pod(Strict):
    metadata: Meta = Meta()
    spec: PodSpec


class Document(BaseModel):
    """A document of any kind; what isn't looked at here may be in it."""

    model_config = ConfigDict(alias_generator=to_camel)

    api_version: str
    kind: str
    metadata: Meta
    data: dict[str, str] = {}
    spec: dict[str, object] = {}


VERSIONS = {
    "ConfigMap": "v1",
    "Job": "batch/v1",
    "Deployment": "apps/v1",
    "Service": "v1",
    "PodDisruptionBudget": "policy/v1",
}


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    text = (ROOT / "deploy/kubernetes/openscrip.yaml").read_text()
    return [Document.model_validate(document) for document in yaml.safe_load_all(text)]


@pytest.fixture(scope="module")
def pods(documents: list[Document]) -> dict[str, Pod]:
    return {
        str(document.metadata.name): Pod.model_validate(document.spec["template"])
        for document in documents
        if document.kind in ("Job", "Deployment")
    }


@pytest.fixture(scope="module")
def config(documents: list[Document]) -> dict[str, str]:
    [found] = [document.data for document in documents if document.kind == "ConfigMap"]
    return found


def test_kinds_have_their_versions(documents: list[Document]) -> None:
    assert all(VERSIONS[document.kind] == document.api_version for document in documents)
    names = [(document.kind, document.metadata.name) for document in documents]
    assert len(set(names)) == len(names)


def test_the_commands_are_those_of_up(pods: dict[str, Pod]) -> None:
    commands = {name: tuple(pod.spec.containers[0].command) for name, pod in pods.items()}
    assert commands == {
        "openscrip-migrate": ("python", *up.MIGRATE),
        "openscrip-api": ("python", *up.SERVE),
        "openscrip-worker": ("python", *up.WORKER),
    }


def test_settings_exist_and_secrets_come_from_the_secret(pods: dict[str, Pod], config: dict[str, str]) -> None:
    assert config.keys() <= {row.variable for row in settings_table()}
    assert not any(word in name for name in config for word in ("SECRET", "KEY", "DATABASE_URL", "PASSWORD"))
    for pod in pods.values():
        [container] = pod.spec.containers
        assert [source.config_map_ref is not None for source in container.env_from] == [True, False]
        assert container.env_from[1].secret_ref is not None


def test_selectors_choose_the_pods(documents: list[Document], pods: dict[str, Pod]) -> None:
    labels = [pod.metadata.labels for pod in pods.values()]
    for document in documents:
        selector = document.spec.get("selector")
        if isinstance(selector, dict):
            wanted = selector.get("matchLabels", selector)
            assert wanted in labels


def test_probes_ask_routes_that_exist(pods: dict[str, Pod], config: dict[str, str]) -> None:
    routes = {route.path for router in ROUTERS for route in router.routes}
    ports = {"http": 8000, "metrics": int(config["OPENSCRIP_WORKER_METRICS_PORT"])}
    for pod in pods.values():
        [container] = pod.spec.containers
        assert all(ports[port.name] == port.container_port for port in container.ports)
        for probe in (container.readiness_probe, container.liveness_probe, container.startup_probe):
            if probe is not None:
                assert probe.http_get.path in routes
                assert probe.http_get.port in {port.name for port in container.ports}


def test_there_is_time_to_end_well(pods: dict[str, Pod], config: dict[str, str]) -> None:
    drain = float(config["OPENSCRIP_DRAIN_SECONDS"])
    assert pods["openscrip-api"].spec.termination_grace_period_seconds > drain + serve.DRAIN_SECONDS
    assert pods["openscrip-worker"].spec.termination_grace_period_seconds > GRACE.total_seconds()
    readiness = pods["openscrip-api"].spec.containers[0].readiness_probe
    assert readiness is not None
    assert drain > readiness.period_seconds * readiness.failure_threshold
