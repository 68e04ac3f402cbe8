"""What Locust runs: as fast as it can, or at RATE requests a second of each user."""

import os

from locust import FastHttpUser, constant, constant_throughput, task

RATE = float(os.environ.get("RATE", "0"))


class Visitor(FastHttpUser):  # type: ignore[misc] # no types outside of its environment
    wait_time = constant_throughput(RATE) if RATE else constant(0)

    @task  # type: ignore[untyped-decorator]
    def visit(self) -> None:
        self.client.get("/")
