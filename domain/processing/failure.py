"""Why an event fails: a stable code and a text (events-rules.md 3.4)."""

from domain.errors import DomainError


class ActionFailed(Exception):
    """An action that fails its event; `code` is one of 3.4."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text
        super().__init__(f"{code}: {text}")

    def message(self, action_type: str) -> str:
        """The event's `error_message`."""
        return f"{self.code}: action {action_type} failed: {self.text}"


# What the ledger refuses, as events name it; codes not listed here keep their name.
_EVENT_CODES = {"balance_out_of_range": "invalid_amount"}


def from_refusal(refusal: DomainError, symbol: str) -> ActionFailed:
    """Translate a refusal of the ledger, with its amounts in the text."""
    code = _EVENT_CODES.get(refusal.code, refusal.code)
    details = refusal.details
    if "available" in details:
        return ActionFailed(code, f"available {details['available']}, requested {details['requested']} {symbol}")
    if "max_transaction_amount" in details:
        return ActionFailed(code, f"at most {details['max_transaction_amount']}, requested {details['requested']} {symbol}")
    return ActionFailed(code, refusal.message)
