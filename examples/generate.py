"""Write 700 made-up purchases, always the same ones. Run: python examples/generate.py > examples/purchases.csv"""

import random
import sys
from datetime import date, timedelta

SEED = 20260115
ROWS = 700
CUSTOMERS = 180


def main() -> None:
    """Customers in order of their first purchase, each one's purchases in order of time, as shops export them."""
    dice = random.Random(SEED)
    purchases: dict[int, list[tuple[date, int, str]]] = {}
    for _ in range(ROWS):
        # most buy now and then, some very often
        customer = dice.randrange(1, CUSTOMERS + 1) if dice.random() < 0.7 else min(CUSTOMERS, int(dice.paretovariate(0.9)))
        day = date(2026, 1, 1) + timedelta(days=dice.randrange(300))
        cents = 0 if dice.random() < 0.02 else dice.randrange(1, 20_000)
        purchases.setdefault(customer, []).append((day, dice.randrange(1, 5), f"{cents // 100}.{cents % 100:02d}"))
    out = sys.stdout
    out.write("customer_id,date,quantity,amount\n")
    for customer, rows in sorted(purchases.items()):
        for day, quantity, amount in sorted(rows, key=lambda row: row[0]):
            out.write(f"C{customer:04d},{day.isoformat()},{quantity},{amount}\n")


if __name__ == "__main__":
    main()
