"""Retries and timeouts of the flows, by name and with their reason."""

from datetime import timedelta

from temporalio.common import RetryPolicy

# A drain is idempotent and its failure is infrastructure (the database is away): try for as long as it takes.
UNTIL_IT_WORKS = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=5))

# The activity itself stops after its slice of time and says that there is more.
DRAIN_TIMEOUT = timedelta(seconds=60)

# A lane without events for this long ends; the next event starts it again.
LANE_IDLE = timedelta(minutes=10)

# Another worker holds the lane's row: look again soon.
LANE_BUSY = timedelta(milliseconds=500)

# A lane's task is retried this soon when the worker that had it is killed.
LANE_TASK_TIMEOUT = timedelta(seconds=5)

SWEEP_TIMEOUT = timedelta(seconds=20)

# Rule-made dates send no signal: looking this often meets them well within their sixty seconds.
DUE_REREAD = timedelta(seconds=30)

# One call posts for a few seconds and says that there is more; a worker that is killed is noticed by its silence.
DUE_TIMEOUT = timedelta(seconds=120)
DUE_HEARTBEAT = timedelta(seconds=10)

# One call makes pages for about a second; the first lists everybody, by a statement that has ten minutes. A worker that is
# killed is noticed by its silence.
RUN_TIMEOUT = timedelta(minutes=11)
RUN_HEARTBEAT = timedelta(seconds=10)

# The lanes are full, and a fan-out waits until they have room; after so many pauses it makes a page anyway, so that lanes that
# are always full don't starve it.
RUN_PAUSE = timedelta(seconds=1)
RUN_PAUSES = 3

# An automation's flow hears of the end of a fan-out that it started itself; of another one it learns by looking.
FAN_OUT_REREAD = timedelta(seconds=5)

# No shorter timers: one that fires a moment early by the database's clock is set again.
SHORTEST_TIMER = timedelta(milliseconds=20)

# One short transaction; a worker that is killed in it costs this long, and the due work comes first then.
ATTEND_TIMEOUT = timedelta(seconds=5)

# One call evaluates and fires for about a second, but a single statement may have to look at a million participants.
SUBSCRIPTIONS_TIMEOUT = timedelta(seconds=60)

# Resolving a host, connecting and waiting for an answer take 18 seconds at most; a worker that is killed meanwhile costs this
# long. One that is merely slow still counts its attempt.
ATTEMPT_TIMEOUT = timedelta(seconds=22)

# A timer of Temporal has its limits; a deadline centuries ahead is looked at again once a year.
LONGEST_TIMER = timedelta(days=365)

# Somebody waits for the answer: a worker that is killed costs this long, which leaves time for another one.
REDEMPTION_TASK_TIMEOUT = timedelta(seconds=2)

# One short transaction, whose statements end at the request's `valid_until`.
REDEMPTION_TIMEOUT = timedelta(seconds=20)

# Any number of runs have one effect, and those after `valid_until` none: going on for a while only makes the flow tell what
# became of a redemption whose database went away at the wrong moment.
REDEMPTION_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_interval=timedelta(seconds=2))
REDEMPTION_PATIENCE = timedelta(minutes=10)

# Flows are seldom missing, and what is due is seldom late for want of one; but what couldn't be started is tried again soon.
RECONCILE_EVERY = timedelta(minutes=5)
RECONCILE_AGAIN = timedelta(seconds=10)
RECONCILE_PASSES = 30
RECONCILE_TIMEOUT = timedelta(seconds=60)

# Two runs of the reconciliation see what is due within this, before it is.
RECONCILE_HORIZON = 2 * RECONCILE_EVERY + timedelta(minutes=1)

# One call checks for ten seconds, but ends a part that it has begun, each check of which may take as long; a worker that is
# killed is noticed by its silence.
BOOKS_TIMEOUT = timedelta(minutes=10)
BOOKS_HEARTBEAT = timedelta(seconds=30)

# A slice of a move stops by itself; a heavy moment on its way may take longer, and a webhook that is asked answer late.
CLOCK_TIMEOUT = timedelta(seconds=60)
CLOCK_HEARTBEAT = timedelta(seconds=25)

# One call sends for about a minute, then lets what is under way end; a worker that is killed is noticed by its silence.
SEND_TIMEOUT = timedelta(minutes=3)
SEND_HEARTBEAT = timedelta(seconds=10)

# Resolving a host, connecting and waiting for an answer take 18 seconds at most.
WEBHOOK_ATTEMPT_TIMEOUT = timedelta(seconds=30)

# An endpoint that gets nothing for this long needs no flow; the next message starts it again.
WEBHOOK_IDLE = timedelta(minutes=10)

# One call seals for about ten seconds, and finishes its round over all organizations; a worker that is killed is noticed by its
# silence.
SEAL_TIMEOUT = timedelta(minutes=10)
SEAL_HEARTBEAT = timedelta(seconds=5)
