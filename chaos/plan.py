"""What a seed decides: the faults with their moments, and every client's operations, one after the other."""

import hashlib
import random
from dataclasses import dataclass
from enum import StrEnum

CLIENTS = 6
PEOPLE = 12
# Operations of each client that the hash of a plan covers.
HASHED = 500


class FaultKind(StrEnum):
    """What the nemesis does, and undoes after a while."""

    KILL_API = "kill api"
    KILL_WORKER = "kill worker"
    KILL_WORKERS = "kill both workers"
    PAUSE_API = "pause api"
    PAUSE_WORKER = "pause worker"
    PAUSE_TEMPORAL = "pause temporal"
    PAUSE_BACKEND = "pause backends"
    END_BACKENDS = "end backends"
    CUT_POSTGRES = "cut postgres"
    CUT_TEMPORAL = "cut temporal"
    MUTE_POSTGRES = "mute postgres"
    CRASH_POSTGRES = "crash postgres"
    KILL_TEMPORAL = "kill temporal"
    LOSE_TEMPORAL = "lose temporal's store"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault from `at` on, for some seconds, both counted from the start of the operations."""

    at: float
    kind: FaultKind
    target: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Habit:
    """How often a kind of fault comes, relative to the others, and how long it lasts at least and at most."""

    weight: int
    shortest: float
    longest: float


HABITS = {
    FaultKind.KILL_API: Habit(5, 0.2, 2.5),
    FaultKind.KILL_WORKER: Habit(5, 0.2, 2.5),
    FaultKind.KILL_WORKERS: Habit(2, 0.2, 2.0),
    FaultKind.PAUSE_API: Habit(3, 0.5, 6.0),
    FaultKind.PAUSE_WORKER: Habit(4, 0.5, 12.0),
    FaultKind.PAUSE_TEMPORAL: Habit(2, 0.5, 7.0),
    FaultKind.PAUSE_BACKEND: Habit(4, 0.5, 5.0),
    FaultKind.END_BACKENDS: Habit(5, 0.0, 0.0),
    FaultKind.CUT_POSTGRES: Habit(4, 0.1, 3.0),
    FaultKind.CUT_TEMPORAL: Habit(3, 0.1, 4.0),
    FaultKind.MUTE_POSTGRES: Habit(2, 0.5, 4.0),
    FaultKind.CRASH_POSTGRES: Habit(3, 0.2, 3.0),
    FaultKind.KILL_TEMPORAL: Habit(3, 0.2, 4.0),
    FaultKind.LOSE_TEMPORAL: Habit(1, 0.2, 2.0),
}
FIRST_FAULT_SECONDS = 1.0
# The last part of a run, in which no fault begins.
CALM_SECONDS = 1.5
# Its flows start again half a minute later at the earliest, for which a short run has no time.
LEAST_SECONDS_TO_LOSE = 60.0


def schedule(seed: int, seconds: float, mean_gap: float) -> tuple[Fault, ...]:
    """The faults of a run of so many seconds, on average `mean_gap` seconds apart."""
    dice = random.Random(f"{seed}/nemesis")
    kinds = [kind for kind in HABITS if kind is not FaultKind.LOSE_TEMPORAL or seconds >= LEAST_SECONDS_TO_LOSE]
    faults: list[Fault] = []
    at = FIRST_FAULT_SECONDS
    while at < seconds - CALM_SECONDS:
        [kind] = dice.choices(kinds, [HABITS[each].weight for each in kinds])
        habit = HABITS[kind]
        lasting = round(dice.uniform(habit.shortest, habit.longest), 2)
        faults.append(Fault(round(at, 2), kind, dice.randrange(1000), lasting))
        at += dice.uniform(0.4, 1.6) * mean_gap
    return tuple(faults)


WEIGHTS = {
    "event": 24,
    "event batch": 7,
    "event again": 3,
    "event retry": 2,
    "event retry all": 1,
    "credit": 6,
    "debit": 5,
    "hold": 6,
    "release": 4,
    "forfeit": 2,
    "void hold": 2,
    "transfer": 5,
    "transfer of a group": 3,
    "credit to a group": 3,
    "hold of a group": 2,
    "release of a group": 2,
    "forfeit of a group": 1,
    "fund": 3,
    "burn": 2,
    "redeem": 7,
    "redeem item": 9,
    "reverse": 6,
    "report": 3,
    "set tier": 2,
    "remove tier": 1,
    "tag": 2,
    "counter": 2,
    "attribute": 1,
    "one time": 2,
    "fan-out": 1,
    "trigger": 1,
    "cancel": 1,
    "suspend program": 1,
    "resume program": 1,
    "switch rule": 1,
    "reset budget": 1,
    "switch endpoint": 1,
    "retry delivery": 1,
    "balances": 3,
    "list": 3,
}
EVENT_TYPES = {
    "purchase": 10,
    "promo": 4,
    "gift": 4,
    "short": 4,
    "hold": 4,
    "release": 3,
    "pending": 3,
    "settle": 2,
    "void": 2,
    "refund": 3,
    "fine": 1,
    "forfeit": 1,
    "tag": 1,
    "untag": 1,
    "vip": 1,
    "later": 3,
    "news": 1,
    "team": 3,
}


@dataclass(frozen=True, slots=True)
class Intent:
    """One operation as the seed wants it; what it is done to may depend on what is there by then."""

    client: int
    number: int
    kind: str
    key: str
    who: int
    other: int
    pick: float
    cents: int
    event_types: tuple[str, ...]
    reference: int
    repeats_at_once: bool
    reads_back: bool
    pause: float

    @property
    def amount(self) -> str:
        """The amount as the API wants it."""
        return f"{self.cents // 100}.{self.cents % 100:02}"


def intent(seed: int, client: int, number: int) -> Intent:
    """The operation that a client does at this number; the same for each run of the seed."""
    dice = random.Random(f"{seed}/{client}/{number}")
    [kind] = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
    count = dice.randint(4, 12) if kind == "event batch" else 1
    return Intent(
        client=client,
        number=number,
        kind=kind,
        key=f"{seed}-{client}-{number}",
        who=dice.randrange(PEOPLE),
        other=dice.randrange(PEOPLE - 1),
        pick=dice.random(),
        cents=dice.choice((dice.randint(1, 500), dice.randint(500, 10_000))),
        event_types=tuple(dice.choices(list(EVENT_TYPES), list(EVENT_TYPES.values()), k=count)),
        reference=dice.randrange(6),
        repeats_at_once=dice.random() < 0.5,
        reads_back=dice.random() < 0.3,
        pause=dice.uniform(0.0, 0.06),
    )


def digest(seed: int, seconds: float, mean_gap: float) -> str:
    """A short hash of the faults and of each client's first operations: equal plans, equal hash."""
    planned = [repr(fault) for fault in schedule(seed, seconds, mean_gap)]
    planned += [repr(intent(seed, client, number)) for client in range(CLIENTS) for number in range(HASHED)]
    return hashlib.sha256("\n".join(planned).encode()).hexdigest()[:12]
