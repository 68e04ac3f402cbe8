"""How many workers a load takes, and which of them works when. Pure.

One worker is one Lambda function of at most 15 minutes. What a load asks for beyond that is divided
twice: its rate among workers who begin together, its time into shifts that follow each other.
"""

import math
from enum import StrEnum
from fractions import Fraction

from pydantic import BaseModel, ConfigDict, Field

RATE_OF_ONE_WORKER = 5000
"""Requests a second that one worker sends on schedule; it has a full vCPU (make load-bench)."""

SAFE_SHARE = 0.8
"""The part of it that is planned with: targets, TLS and neighbours differ from the bench's."""

IN_FLIGHT_OF_ONE_WORKER = 900
"""A Lambda function may open 1,024 files, and a connection is one (Lambda quotas)."""

MOST_WORKERS = 250
"""At a shift's change twice as many work, and an account has 1,000 Lambda functions at once."""

SHIFT_SECONDS = 600
"""The longest that one worker measures: with all that comes before it, it has 900 s."""

HEAD_START_SECONDS = 15
"""From the moment at which several workers are called until the load begins: cold starts."""

RELIEF_SECONDS = 30
"""So long before its shift a worker is called, so that the one before it leaves no hole."""

MOST_MAP_ITERATIONS = 40
"""An inline Map runs no more at once; a Distributed Map 10,000 (Step Functions quotas)."""


class Form(StrEnum):
    """How the state machine calls the workers of a load."""

    ONE = "one"
    MAP = "map"
    DISTRIBUTED = "distributed"


class Workers(BaseModel):
    """Who generates the load of one phase: so many at once, in as many shifts as it takes.

    A part is what one worker does in one shift; parts are numbered shift by shift.
    """

    model_config = ConfigDict(frozen=True)

    at_once: int
    form: Form
    waits_seconds: tuple[int, ...] = Field(
        description="For each part, how long its worker is not called yet."
    )

    @property
    def head_start_seconds(self) -> int:
        """How long after the call of several workers their load begins; one begins when it can."""
        return 0 if self.form is Form.ONE else HEAD_START_SECONDS

    @property
    def parts(self) -> int:
        """How many reports there must be."""
        return len(self.waits_seconds)


def workers_for(rate_per_second: float, latency_ms: float) -> int:
    """How many workers hold a rate: each has a processor, and connections for those in flight.

    Requests in flight are the rate times the latency (Little's law).
    """
    rate = Fraction(str(rate_per_second))
    by_processor = rate / Fraction(RATE_OF_ONE_WORKER * SAFE_SHARE)
    by_connections = rate * Fraction(str(latency_ms)) / 1000 / IN_FLIGHT_OF_ONE_WORKER
    return max(1, math.ceil(by_processor), math.ceil(by_connections))


def workers(at_once: int, warm_up_seconds: int, window_seconds: int) -> Workers:
    """The parts of a measured window, and how the machine calls their workers.

    Those of the first shift are called at once, for they also warm up.
    """
    relief = HEAD_START_SECONDS + warm_up_seconds - RELIEF_SECONDS
    shifts = math.ceil(window_seconds / SHIFT_SECONDS)
    waits = tuple(
        relief + shift * SHIFT_SECONDS if shift else 0
        for shift in range(shifts)
        for _ in range(at_once)
    )
    if len(waits) == 1:
        form = Form.ONE
    elif shifts == 1 and at_once <= MOST_MAP_ITERATIONS:
        form = Form.MAP
    else:
        form = Form.DISTRIBUTED
    return Workers(at_once=at_once, form=form, waits_seconds=waits)


def part_of(number: int, at_once: int, window_seconds: int) -> tuple[int, range]:
    """Which worker a part is, and its seconds of the measured window.

    Raises:
        ValueError: the load has no such part.
    """
    shift, worker = divmod(number, at_once)
    seconds = range(window_seconds)[shift * SHIFT_SECONDS : (shift + 1) * SHIFT_SECONDS]
    if number < 0 or not seconds:
        raise ValueError(f"the load has no part {number}")
    return worker, seconds
