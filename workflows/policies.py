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
