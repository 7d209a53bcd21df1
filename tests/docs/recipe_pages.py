"""What the pages of docs/recipes quote from the recipes' files. `python -m tests.docs.recipe_pages` writes it anew."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cli.recipe_file import FOLDER, Recipe, load_recipe, recipe_names

PARTS = ("rules", "steps")


def page_of(name: str) -> Path:
    return FOLDER / f"{name}.md"


def marked(part: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {part}: begin -->\n).*?(?=<!-- {part}: end -->)", re.DOTALL)


def written(name: str, part: str) -> str:
    """What the page says now."""
    [found] = marked(part).findall(page_of(name).read_text(encoding="utf-8"))
    return str(found)


def render(name: str, part: str) -> str:
    """What the page must say."""
    return rules_of(name) if part == "rules" else steps_of(load_recipe(name))


def rules_of(name: str) -> str:
    """The rules, word by word as the file has them."""
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    rules = text[text.index("[[rules]]") : text.index("[[steps]]")]
    return f"```toml\n{rules.strip()}\n```\n"


def steps_of(recipe: Recipe) -> str:
    """The steps, with the balances and counters that the recipe expects after each."""
    rows = [
        f"| {number} | {step.say} | {'; '.join(after(recipe, step.expect))} |\n" for number, step in enumerate(recipe.steps, 1)
    ]
    return "| | Step | Afterwards |\n|---|---|---|\n" + "".join(rows)


def after(recipe: Recipe, expect: Mapping[str, Any]) -> Iterator[str]:
    for who, wanted in expect.items():
        told = [f"{wanted[symbol]} {symbol}" for symbol in recipe.assets if symbol in wanted]
        told += [f"{key} {value}" for key, value in wanted.get("counters", {}).items()]
        told += [f"{value} of the budget" for value in wanted.get("budgets", {}).values()]
        if told:
            yield f"{who} {', '.join(told)}"


def main() -> None:
    for name in recipe_names():
        text = page_of(name).read_text(encoding="utf-8")
        for part in PARTS:
            quoted = render(name, part)
            text = marked(part).sub(lambda _, quoted=quoted: quoted, text)
        page_of(name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
