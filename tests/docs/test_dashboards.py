"""What Grafana and Prometheus are given to read names metrics, labels and headings that exist."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from api.routes import ROUTERS
from tests.docs.settings_table import ROOT
from tests.docs.test_docs import anchors

assert ROUTERS, "loading them registers the metrics of requests"
NAME = re.compile(r"\bopenscrip_\w+")
SERIES = re.compile(r"(openscrip_\w+)\s*\{([^}]*)\}")
GROUPING = re.compile(r"\bby \(([^)]*)\)")
OF_SCRAPING = {"le", "instance", "job"}


def panels() -> Iterator[dict[str, Any]]:
    yield from json.loads((ROOT / "deploy/grafana/openscrip.json").read_text())["panels"]


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((ROOT / "deploy/prometheus/openscrip.rules.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    shown = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    return shown + [rule["expr"] for rule in rules()]


def labels_of() -> dict[str, set[str]]:
    """Every series that is exported, with its labels."""
    found: dict[str, set[str]] = {}
    for series, collector in REGISTRY._names_to_collectors.items():
        if series.startswith("openscrip_") and not series.endswith("_created"):
            found[series] = set(collector._labelnames)
    return found


@pytest.mark.parametrize("expression", expressions())
def test_expressions_name_series_and_labels_that_exist(expression: str) -> None:
    known = labels_of()
    names = set(NAME.findall(expression))
    assert names
    assert names <= known.keys()
    for name, matchers in SERIES.findall(expression):
        assert set(re.findall(r"(\w+)\s*[=!]~?", matchers)) <= known[name] | OF_SCRAPING
    grouped = {label.strip() for group in GROUPING.findall(expression) for label in group.split(",")}
    assert grouped <= set().union(*(known[name] for name in names)) | OF_SCRAPING
    assert expression.count("(") == expression.count(")")


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for panel in panels() for target in panel.get("targets", ()) for name in NAME.findall(target["expr"])}
    hidden = {
        metric.name
        for metric in REGISTRY.collect()
        if metric.name.startswith("openscrip_") and not any(name.startswith(metric.name) for name in shown)
    }
    assert hidden == set()


def test_panels_have_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        own = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not own & taken, panel["title"]
        taken |= own
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alerts_say_how_urgent_they_are_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("OpenScrip")
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] in anchors(ROOT / "docs/runbook.md")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert used <= {label.strip() for group in GROUPING.findall(rule["expr"]) for label in group.split(",")} | {
        "pool",
        "instance",
    }


def test_prometheus_scrapes_what_the_compose_file_serves() -> None:
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    targets = {(use["names"][0], str(use["port"])) for job in scrape["scrape_configs"] for use in job["dns_sd_configs"]}
    worker_port = compose["services"]["worker"]["environment"]["OPENSCRIP_WORKER_METRICS_PORT"]
    api_port = compose["services"]["api"]["ports"][0].rpartition(":")[2]
    assert targets == {("api", api_port), ("worker", worker_port)}
    assert scrape["rule_files"] == ["openscrip.rules.yml"]
