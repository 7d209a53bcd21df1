"""Deliberate defects, each a change of a few characters that a tired developer could make, and the tests that must notice.

`before` stands exactly once in its file; `tests/mutants/test_defects.py` holds the list to that.
"""

from typing import NamedTuple


class Defect(NamedTuple):
    """One seeded bug: what breaks, where, and which tests must fail with it."""

    name: str
    file: str
    before: str
    after: str
    tests: str


DEFECTS = (
    Defect(
        "amounts round half to even",
        "domain/money.py",
        "rounding=ROUND_HALF_UP)",
        'rounding="ROUND_HALF_EVEN")',
        "tests/domain/test_money.py",
    ),
    Defect(
        "a credit is rounded twice",
        "domain/money.py",
        "return value.quantize(_UNITS[scale], context=CONTEXT)",
        "return value.quantize(_UNITS[min(scale + 1, MAX_SCALE)], context=CONTEXT).quantize(_UNITS[scale], context=CONTEXT)",
        "tests/domain/test_money.py",
    ),
    Defect(
        "a posting of a transfer is dropped",
        "domain/ledger/transfer.py",
        "lines += [(arrival.account, Bucket.AVAILABLE, arrival.amount) for arrival in arrivals]",
        "lines += [(arrival.account, Bucket.AVAILABLE, arrival.amount) for arrival in arrivals[:1]]",
        "tests/domain/ledger",
    ),
    Defect(
        "lots are used in the order of their expiry",
        "domain/ledger/accounts.py",
        "return lot.created_at, lot.id",
        "return lot.expires_at or lot.created_at, lot.id",
        "tests/domain/ledger",
    ),
    Defect(
        "what is due is ignored: expiry, maturity, deadlines of holds",
        "domain/ledger/due.py",
        "return account.next_due_at is not None and account.next_due_at <= now and not asset.is_archived",
        "return False",
        "tests/domain/ledger",
    ),
    Defect(
        "a debit may overdraw HELD",
        "domain/ledger/debit.py",
        "if overdraft and not (allow_negative and bucket is Bucket.AVAILABLE):",
        "if overdraft and not allow_negative:",
        "tests/domain/ledger",
    ),
    Defect(
        "a settle leaves the provisional lots open",
        "domain/ledger/credit.py",
        "    consume(books, account, draws)\n",
        "",
        "tests/domain/ledger",
    ),
    Defect(
        "a prefunded wallet goes below zero",
        "domain/ledger/credit.py",
        "    require_cover(asset, source, drawn)\n",
        "",
        "tests/domain/ledger",
    ),
    Defect(
        "restored lots lose what they were owed",
        "domain/ledger/redeem.py",
        "    for loaded, most in reversed(list(owed)):",
        "    for loaded, most in list(owed):",
        "tests/domain/ledger tests/services/test_redemptions.py",
    ),
    Defect(
        "two reversals give more than was redeemed",
        "services/reversals.py",
        "    if not left.amount or (asked is not None and asked.amount > left.amount):",
        "    if not left.amount:",
        "tests/spec/test_redemptions.py tests/services/test_redemptions.py",
    ),
    Defect(
        "what a lot may hold isn't versioned",
        "db/repositories/ledger_flush.py",
        "WHERE {table}.version = excluded.version - 1",
        "WHERE true",
        "tests/services/test_processing.py tests/services/test_balances.py tests/services/test_ledger_machine.py",
    ),
    Defect(
        "idempotency keys aren't looked up",
        "services/idempotency.py",
        "    if stored is not None:\n        return stored\n",
        "    del stored\n",
        "tests/services/test_idempotency.py",
    ),
    Defect(
        "a key counts whatever it was used for",
        "services/idempotency.py",
        "    if stored.fingerprint != fingerprint:",
        "    if stored.fingerprint == b'':",
        "tests/services/test_idempotency.py",
    ),
    Defect(
        "calls with one key don't wait for each other",
        "services/idempotency.py",
        "    lock(session, scope)\n    stored",
        "    stored",
        "tests/services/test_idempotency.py",
    ),
    Defect(
        "events lose their order",
        "db/repositories/event_queue.py",
        "ORDER BY q.queue_seq LIMIT %s",
        "ORDER BY q.queue_seq DESC LIMIT %s",
        "tests/services/test_processing.py tests/spec/test_events.py",
    ),
    Defect(
        "two workers drain one lane",
        "db/repositories/event_queue.py",
        "FOR UPDATE SKIP LOCKED",
        "",
        "tests/services/test_processing.py tests/workflows/test_event_lane.py",
    ),
    Defect(
        "a processed event stays in the queue",
        "services/processing.py",
        "    queue.finish(conn, lane, [item.queue_seq for item in queued[: len(outcomes)]])\n",
        "",
        "tests/services/test_processing.py",
    ),
    Defect(
        "budgets of one batch don't see those of another",
        "db/repositories/budgets.py",
        """+ new.added <= b."limit\"""",
        """<= b."limit\"""",
        "tests/services/test_budgets.py",
    ),
    Defect(
        "a failed event keeps what it took of a budget",
        "domain/processing/spending.py",
        "            self._spendings.update(self._undo)\n",
        "",
        "tests/domain/processing tests/services/test_budgets.py",
    ),
    Defect(
        "the last unit is sold to everybody",
        "db/migrations/versions/0008_rewards.sql",
        "RAISE EXCEPTION 'reward % would be oversold', NEW.id USING ERRCODE = 'check_violation';",
        "RETURN NEW;",
        "tests/api/routes/test_rewards.py",
    ),
    Defect(
        "stock is counted without what is asked for",
        "domain/rewards.py",
        "(left is not None and left < (quantity or 0))",
        "(left is not None and left < 0)",
        "tests/domain/test_rewards.py",
    ),
    Defect(
        "a participant's limit is forgotten",
        "domain/rewards.py",
        "    if limit is not None and owned + (quantity or 0) > limit:",
        "    if limit is not None and owned > limit:",
        "tests/domain/test_rewards.py",
    ),
    Defect(
        "an entry needn't sum to zero",
        "db/migrations/versions/0001_first_light.sql",
        "RAISE EXCEPTION 'journal entry % does not sum to zero', culprit USING ERRCODE = 'check_violation';",
        "NULL;",
        "tests/db/test_ledger_guards.py",
    ),
    Defect(
        "the journal can be rewritten",
        "db/migrations/versions/0001_first_light.sql",
        "CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings",
        "CREATE TRIGGER postings_append_only BEFORE TRUNCATE ON postings",
        "tests/db/test_ledger_guards.py",
    ),
    Defect(
        "another organization's participant is found",
        "db/repositories/participants.py",
        "select(Participant).where(Participant.id == participant_id, Participant.organization_id == organization_id)",
        "select(Participant).where(Participant.id == participant_id)",
        "tests/api/test_participants.py tests/api/test_state.py",
    ),
    Defect(
        "a list shows every organization's rules",
        "db/repositories/rules.py",
        "statement = select(RuleRow).where(RuleRow.organization_id == organization_id)",
        "statement = select(RuleRow)",
        "tests/api/routes/test_rules.py",
    ),
    Defect(
        "a revoked key opens the door",
        "db/repositories/organizations.py",
        " WHERE k.key_hash = %s AND k.revoked_at IS NULL",
        " WHERE k.key_hash = %s",
        "tests/services/test_organizations.py tests/api/test_conventions.py",
    ),
    Defect(
        "the last row of a page comes again",
        "db/repositories/keyset.py",
        """{sign} ({', '.join(marks)})\"""",
        """{sign}= ({', '.join(marks)})\"""",
        "tests/api/test_pagination.py",
    ),
    Defect(
        "macros cost nothing",
        "domain/cel/steps.py",
        "    left = steps[0] - count\n",
        "    left = steps[0] - 0 * count\n",
        "tests/domain/cel",
    ),
    Defect(
        "a webhook may go to a mapped private address",
        "domain/webhook_urls.py",
        "    if address.ipv4_mapped is not None:\n        return address.ipv4_mapped\n",
        "",
        "tests/domain/test_webhook_urls.py",
    ),
    Defect(
        "the signature covers another body",
        "domain/webhook_message.py",
        "datetime.fromtimestamp(timestamp, UTC), body.decode())",
        "datetime.fromtimestamp(timestamp, UTC), body.decode().strip('}'))",
        "tests/domain/test_webhook_message.py",
    ),
    Defect(
        "a level ends before its grace does",
        "domain/tiers/windows.py",
        "return lapse_at(tier.lifecycle, standing.lifecycle_expires_at)",
        "return standing.lifecycle_expires_at",
        "tests/domain/tiers",
    ),
    Defect(
        "a period end runs twice",
        "domain/tiers/windows.py",
        "            self._set(tier, replace(self.holdings.standing(tier), steps_done_through=moment))\n",
        "            self._set(tier, replace(self.holdings.standing(tier), steps_done_through=standing.steps_done_through))\n",
        "tests/domain/tiers",
    ),
    Defect(
        "an hour that comes twice fires twice",
        "domain/recurrence.py",
        "return (first, second) if cron.follows_elapsed_time else (first,)",
        "return (first, second)",
        "tests/domain/test_recurrence.py",
    ),
    Defect(
        "a redemption is posted after its answer was given up",
        "services/redemptions.py",
        "    if facts.real_time > valid_until:\n        raise ServiceUnavailable\n",
        "",
        "tests/services/test_redemptions.py tests/workflows/test_redemption.py",
    ),
    Defect(
        "a dry run looks at nothing locked",
        "services/event_simulation.py",
        "    freeze(conn)\n",
        "",
        "tests/services/test_event_simulation.py",
    ),
    Defect(
        "a liability doesn't wait for those who still write",
        "db/repositories/moments.py",
        "return bool(row[0])",
        "return True",
        "tests/api/routes/test_reports.py",
    ),
    Defect(
        "a settle counts posting by posting",
        "domain/reports/lines.py",
        "BY_ENTRY = ActionType.SETTLE",
        "BY_ENTRY = ActionType.FUND",
        "tests/api/routes/test_reports.py",
    ),
    Defect(
        "the end of a report's window is excluded",
        "db/repositories/movements.py",
        'p.created_at <= %(to)s", Period.AFTER: "p.created_at > %(to)s"',
        'p.created_at < %(to)s", Period.AFTER: "p.created_at >= %(to)s"',
        "tests/api/routes/test_reports.py",
    ),
)
