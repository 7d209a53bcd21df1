"""The table of errors in docs/api.md, made from the code. Run after a change: python -m tests.docs.error_table"""

from api.errors import STATUS
from api.openapi_errors import DETAILS, summaries
from tests.docs.settings_table import ROOT

PAGE = ROOT / "docs" / "api.md"
BEGIN, END = "<!-- errors: begin -->\n", "<!-- errors: end -->"


def render() -> str:
    """The table as Markdown."""
    said = summaries()
    lines = ["| Status | `code` | Message | `details` |", "|---|---|---|---|"]
    for code, status in sorted(STATUS.items(), key=lambda item: item[1]):
        details = ", ".join(f"`{name}`" for name in DETAILS.get(code, ()))
        lines.append(f"| {status} | `{code}` | {said[code]} | {details} |")
    return "\n".join(lines) + "\n"


def written() -> str:
    """The table as the page has it."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def write() -> None:
    """Put the current table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(BEGIN + written(), BEGIN + render()), encoding="utf-8")


if __name__ == "__main__":
    write()
