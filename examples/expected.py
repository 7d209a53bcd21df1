"""What the cashback program of the loader must pay for a file of purchases; computed here without any of the product's code.

Run: python examples/expected.py examples/purchases.csv

The program: 3 % of each purchase, a welcome bonus of 5.00 with the first one, a tag once 100.00 are spent in all. Whole
arithmetic in integers: amounts in cents, 3 % rounded half up.
"""

import csv
import json
import sys
from collections import defaultdict

WELCOME_CENTS = 500
BIG_SPENDER_CENTS = 10_000


def expected(path: str) -> dict[str, object]:
    """Totals of a CSV with the columns customer_id, date, quantity, amount."""
    spend: dict[str, int] = defaultdict(int)
    cashback: dict[str, int] = defaultdict(int)
    welcomed: set[str] = set()
    big: set[str] = set()
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        customer, cents = row["customer_id"], cents_of(row["amount"])
        if cents == 0:
            continue
        cashback[customer] += (3 * cents + 50) // 100
        welcomed.add(customer)
        if spend[customer] < BIG_SPENDER_CENTS <= spend[customer] + cents:
            big.add(customer)
        spend[customer] += cents
    rule_cents = sum(cashback.values())
    return {
        "events": len(rows),
        "credited": text_of(rule_cents + WELCOME_CENTS * len(welcomed)),
        "cashback": text_of(rule_cents),
        "participants_with_balance": len(welcomed),
        "big_spenders": len(big),
        "cashback_by_customer": {customer: text_of(cents) for customer, cents in sorted(cashback.items())},
    }


def cents_of(amount: str) -> int:
    """`29.33` as 2933."""
    whole, _, fraction = amount.partition(".")
    return int(whole) * 100 + int((fraction + "00")[:2])


def text_of(cents: int) -> str:
    """2933 as `29.33`."""
    return f"{cents // 100}.{cents % 100:02d}"


if __name__ == "__main__":
    print(json.dumps(expected(sys.argv[1]), indent=2))
