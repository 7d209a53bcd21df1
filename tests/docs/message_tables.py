"""The parts of docs/webhooks.md that are the code's. Run after a change: python -m tests.docs.message_tables"""

import json
import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any

from api.schemas.messages.balances import BalanceMessage
from api.schemas.messages.events import EventMessage
from api.schemas.messages.parts import MessageModel
from api.schemas.messages.redemptions import RedemptionMessage
from api.schemas.messages.wallets import WalletMessage
from api.schemas.webhook_examples import EXAMPLES
from api.schemas.webhook_messages import MESSAGES
from domain.outbox import MessageType
from tests.docs.settings_table import ROOT

PAGE = ROOT / "docs" / "webhooks.md"
PARTS = ("example", "data")
FAMILIES: Mapping[type[MessageModel], str] = {
    BalanceMessage: "Balances",
    RedemptionMessage: "Redemptions",
    EventMessage: "Events",
    WalletMessage: "Wallets",
}
WHOLE = {"RedemptionRead": "redemption, as the API answers it", "ReversalRead": "reversal, as the API answers it"}


def marked(part: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {part}: begin -->\n).*?(?=<!-- {part}: end -->)", re.DOTALL)


def written(part: str) -> str:
    """What the page says now."""
    [found] = marked(part).findall(PAGE.read_text(encoding="utf-8"))
    return str(found)


def render(part: str) -> str:
    """What the page must say."""
    if part == "example":
        return f"```json\n{json.dumps(EXAMPLES[MessageType.BALANCE_CREDITED], indent=2)}\n```\n"
    return "\n".join(_sections()) + "\n"


def _sections() -> Iterator[str]:
    told: set[type[MessageModel]] = set()
    for type_, model in MESSAGES.items():
        family = next((base for base in FAMILIES if issubclass(model, base)), None)
        if family is None:
            yield from (f"### `{type_.value}`\n", f"{cleandoc(model.__doc__ or '')}\n", *_table(model, ()))
            continue
        if family not in told:
            told.add(family)
            yield from (f"### {FAMILIES[family]}\n", "All of them have these fields:\n", *_table(family, ()))
            for each, its in MESSAGES.items():
                if issubclass(its, family):
                    yield from (f"`{each.value}`: {cleandoc(its.__doc__ or '')}\n", *_table(its, family.model_fields))


def _table(model: type[MessageModel], without: Mapping[str, Any] | tuple[()]) -> Iterator[str]:
    schema = model.model_json_schema()
    rows = [(name, form) for name, form in schema["properties"].items() if name not in without]
    if rows:
        yield "| Field | Type | Notes |\n|---|---|---|"
        for name, form in rows:
            yield f"| `{name}` | {_kind(form, schema)} | {_note(form, is_always=name in schema['required'])} |"
        yield ""


def _note(form: Mapping[str, Any], *, is_always: bool) -> str:
    note = str(form.get("description", ""))
    return note if is_always else f"Only {note[0].lower()}{note[1:]}"


def _kind(form: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in form:
        return _named(form["$ref"].rpartition("/")[2], schema)
    if "anyOf" in form:
        return " or ".join(_kind(each, schema) for each in form["anyOf"])
    if "enum" in form:
        return ", ".join(f"`{value}`" for value in form["enum"])
    if form["type"] == "array":
        return f"list of {_kind(form['items'], schema)}"
    if "format" in form:
        return {"uuid": "uuid", "date-time": "time"}[form["format"]]
    return "amount" if "pattern" in form else str(form["type"])


def _named(name: str, schema: Mapping[str, Any]) -> str:
    if name in WHOLE:
        return WHOLE[name]
    form = schema["$defs"][name]
    if "enum" in form:
        return _kind(form, schema) if len(form["enum"]) <= 4 else "enum"
    return "{" + ", ".join(f"`{field}`" for field in form["properties"]) + "}"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for part in PARTS:
        quoted = render(part)
        text = marked(part).sub(lambda _, quoted=quoted: quoted, text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
