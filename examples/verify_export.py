"""Verify an export of the journal: python verify_export.py EXPORT.ndjson [HASH OF THE HEAD]. Needs nothing but Python."""

import hashlib
import json
import sys
from collections import defaultdict
from decimal import Decimal


def verify(path: str, head: str = "") -> None:
    """Recompute every hash, link, number and sum; exits with the first that is wrong."""
    number, previous = 0, "0" * 64
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            entry = json.loads(line)
            entry_hash = entry.pop("entry_hash")
            canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            sums: dict[str, Decimal] = defaultdict(Decimal)
            for posting in entry["postings"]:
                sums[posting["asset_id"]] += Decimal(posting["amount"])
            if entry["sequence_number"] != number or entry["previous_hash"] != previous:
                sys.exit(f"entry {number} doesn't follow the one before")
            if hashlib.sha256(canonical.encode()).hexdigest() != entry_hash:
                sys.exit(f"entry {number} was changed")
            if any(sums.values()):
                sys.exit(f"entry {number} doesn't sum to zero")
            previous = entry_hash
    if head not in ("", previous):
        sys.exit(f"the chain ends with {previous}, not with {head}")
    print(f"{number} entries in one unbroken chain, which ends with {previous}")


verify(*sys.argv[1:3])
