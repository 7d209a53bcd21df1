"""The files of a deployment: the compose file, the image, the Makefile and what continuous integration runs."""

import re
import subprocess
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from cli import up
from runtime.settings import settings_table
from tests.cli.stack import ROOT

Duration = Annotated[str, Field(pattern="^[0-9]+(s|m)$")]
Command = Annotated[list[str], Field(min_length=1)]


class Strict(BaseModel):
    """A part of the compose specification, as far as we use it; anything else is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Dependency(Strict):
    condition: Literal["service_healthy", "service_completed_successfully"]


class HealthCheck(Strict):
    test: Annotated[list[str], Field(min_length=2)]
    interval: Duration
    timeout: Duration
    start_period: Duration | None = None
    retries: int


class Deploy(Strict):
    replicas: Annotated[int, Field(ge=1)]


class ConfigUse(Strict):
    source: str
    target: str


class Service(Strict):
    image: Annotated[str, Field(pattern="^[a-z/-]+:[a-z0-9.-]+$")]
    build: Literal["."] | None = None
    restart: Annotated[str, Field(pattern="^(unless-stopped|on-failure:[0-9]+)$")]
    command: Command | None = None
    entrypoint: Command | None = None
    environment: dict[str, str] = {}
    volumes: list[str] = []
    ports: list[Annotated[str, Field(pattern=r"^127\.0\.0\.1:[0-9-]+:[0-9]+$")]] = []
    configs: list[ConfigUse] = []
    depends_on: dict[str, Dependency] = {}
    healthcheck: HealthCheck | None = None
    deploy: Deploy | None = None
    stop_grace_period: Duration | None = None


class ConfigContent(Strict):
    content: str


class Compose(Strict):
    services: dict[str, Service]
    configs: dict[str, ConfigContent]
    volumes: dict[str, None]


SERVERS = ("postgres", "temporal", "temporal-ui", "api", "worker")
JOBS = ("temporal-schema", "temporal-namespace", "migrate")


@pytest.fixture(scope="module")
def compose() -> Compose:
    """The compose file, refused where it doesn't fit the models above; `x-` parts are only anchors."""
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return Compose.model_validate({name: part for name, part in document.items() if not name.startswith("x-")})


class TestCompose:
    def test_has_servers_with_health_checks_and_jobs_that_end(self, compose: Compose) -> None:
        services = compose.services
        assert set(services) == {*SERVERS, *JOBS}
        assert [name for name, service in services.items() if service.healthcheck is not None] == list(SERVERS)
        assert all(services[name].restart.startswith("on-failure") for name in JOBS)
        checks = [service.healthcheck for service in services.values() if service.healthcheck is not None]
        assert all(check.test[0] in {"CMD", "CMD-SHELL"} for check in checks)

    def test_waits_for_health_only_where_there_is_a_check(self, compose: Compose) -> None:
        for service in compose.services.values():
            for needed, rule in service.depends_on.items():
                kind = SERVERS if rule.condition == "service_healthy" else JOBS
                assert needed in kind

    @pytest.mark.parametrize(("service", "command"), [("migrate", up.MIGRATE), ("api", up.SERVE), ("worker", up.WORKER)])
    def test_runs_the_commands_of_up(self, compose: Compose, service: str, command: tuple[str, ...]) -> None:
        assert compose.services[service].command == ["python", *command]

    def test_has_no_secret_of_its_own(self, compose: Compose) -> None:
        for service in compose.services.values():
            for name, value in service.environment.items():
                if re.search("PASSWORD|PWD|SECRET|DATABASE_URL", name):
                    assert ":?" in value
        assert ":-sk_" not in (ROOT / "docker-compose.yml").read_text()

    def test_uses_settings_that_exist(self, compose: Compose) -> None:
        known = {row.variable for row in settings_table()}
        used = {name for service in compose.services.values() for name in service.environment}
        assert {name for name in used if name.startswith("OPENSCRIP_")} <= known

    def test_names_volumes_and_configs_that_exist(self, compose: Compose) -> None:
        for service in compose.services.values():
            assert {mount.split(":")[0] for mount in service.volumes} <= set(compose.volumes)
            assert {use.source for use in service.configs} <= set(compose.configs)


class TestImage:
    def test_is_pinned_hashed_and_not_root(self) -> None:
        lines = (ROOT / "Dockerfile").read_text().splitlines()
        images = {line.split()[1] for line in lines if line.startswith("FROM")}
        assert len(images) == 1
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", images.pop())
        assert "--require-hashes" in (ROOT / "Dockerfile").read_text()
        assert "USER openscrip" in lines

    def test_holds_what_runs_and_nothing_else(self) -> None:
        kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench", "chaos"}
        assert kept == packages | {"worker.py", "requirements.lock"}


class TestMakefile:
    TARGETS = (
        "help setup up test test-fast lint types format examples bench bench-tiers bench-volume bench-workers rush reports year "
        "replay chaos crashes fuzz mutants load listen lock clean"
    )

    def test_help_lists_every_target(self) -> None:
        result = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True)
        listed = re.findall(r"^  make (\S+)", result.stdout, re.MULTILINE)
        assert sorted(listed) == sorted(self.TARGETS.split())

    def test_continuous_integration_runs_the_same_test_command(self) -> None:
        script = (ROOT / ".ci" / "run").read_text()
        assert script.splitlines()[-1] == "exec make test"

    def test_test_checks_style_types_and_imports_too(self) -> None:
        plan = subprocess.run(["make", "--dry-run", "test"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        assert all(tool in plan for tool in ("ruff check", "ruff format --check", "lint-imports", "mypy", "pytest"))

    @pytest.mark.parametrize(
        ("python", "message"),
        [
            ("", "OpenScrip needs Python 3.11 or newer"),
            ("/bin/false", "can't make virtual environments: install python"),
        ],
    )
    def test_says_first_what_is_missing(self, python: str, message: str, tmp_path: Path) -> None:
        (tmp_path / "requirements.lock").touch()
        command = ["make", "-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "up", f"PYTHON={python}"]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        assert result.returncode != 0
        assert message in result.stderr.splitlines()[0]
