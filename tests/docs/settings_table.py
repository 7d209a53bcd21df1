"""The table of settings in README.md, made from the code. Run after a change: python -m tests.docs.settings_table"""

from pathlib import Path

from runtime.settings import settings_table

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->"


def render() -> str:
    """The table as Markdown; an unset default is left empty."""
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for row in settings_table():
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{row.variable}` | {default} | {row.description} |")
    return "\n".join(lines) + "\n"


def written() -> str:
    """The table as README.md has it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0]


def write() -> None:
    """Put the current table into README.md."""
    file = ROOT / "README.md"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(BEGIN + written(), BEGIN + render()), encoding="utf-8")


if __name__ == "__main__":
    write()
