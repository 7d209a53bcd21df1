"""The table of errors in docs/api.md, made from the code. Run after a change: python -m tests.docs.error_table"""

from collections.abc import Iterator

from api.errors import STATUS
from api.openapi_errors import DETAILS
from domain.errors import DomainError
from tests.docs.settings_table import ROOT

PAGE = ROOT / "docs" / "api.md"
BEGIN, END = "<!-- errors: begin -->\n", "<!-- errors: end -->"


def render() -> str:
    """The table as Markdown."""
    summaries = {kind.code: kind.summary for kind in _kinds(DomainError) if "code" in vars(kind)}
    lines = ["| Status | `code` | Message | `details` |", "|---|---|---|---|"]
    for code, status in sorted(STATUS.items(), key=lambda item: item[1]):
        details = ", ".join(f"`{name}`" for name in DETAILS.get(code, ()))
        lines.append(f"| {status} | `{code}` | {summaries[code]} | {details} |")
    return "\n".join(lines) + "\n"


def _kinds(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    for each in kind.__subclasses__():
        yield from _kinds(each)
    yield kind


def written() -> str:
    """The table as the page has it."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def write() -> None:
    """Put the current table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(BEGIN + written(), BEGIN + render()), encoding="utf-8")


if __name__ == "__main__":
    write()
