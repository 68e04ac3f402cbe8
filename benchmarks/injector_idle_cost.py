"""What the injector costs an invocation in which nothing is injected.

Measured are a plain handler and the same handler decorated: without the configuration variable,
with AppConfigData while no poll is due, and with the AppConfig agent on loopback, cached and asked
anew. The first invocation of each, which finds the agent or starts a session, is not measured.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gameday_injector import configuration, inject

RESTING = b'{"latency": {"enabled": false}, "denylist": {"enabled": false}, "expires_at": 2e9}'
RESTING_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(RESTING), RESTING)
PROFILE = {
    "FAILURE_APPCONFIG_APPLICATION": "app",
    "FAILURE_APPCONFIG_ENVIRONMENT": "env",
    "FAILURE_APPCONFIG_CONFIGURATION": "profile",
}
INVOCATIONS_PER_SAMPLE = 20

type Handler = Callable[[object, object], object]


def handler(event: object, context: object) -> object:
    """Stand for the user's function, which does nothing here."""
    return event, context


class QuietDataPlane:
    """AppConfigData, asked once and then not due for a day."""

    def fetch(self) -> tuple[bytes, float]:
        return RESTING, 86_400


@contextmanager
def agent() -> Iterator[int]:
    """Run an agent in a process of its own, as Lambda does; yield its port.

    It only accepts, reads and answers, so that the figure is the injector's and not the agent's.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = multiprocessing.get_context("fork").Process(target=serve, args=(server,))
        process.start()
        yield server.getsockname()[1]
        process.terminate()
        process.join()


def serve(server: socket.socket) -> None:
    """Answer one request on each connection, for ever."""
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(RESTING_RESPONSE)


def median_us(invoked: Handler, samples: int) -> float:
    """Return the median cost of one invocation in microseconds."""
    invoked({}, None)
    return statistics.median(sample_us(invoked) for _ in range(samples))


def sample_us(invoked: Handler) -> float:
    """Return the mean of a few invocations: one alone is too short for the clock."""
    start = time.perf_counter_ns()
    for _ in range(INVOCATIONS_PER_SAMPLE):
        invoked({}, None)
    return (time.perf_counter_ns() - start) / INVOCATIONS_PER_SAMPLE / 1000


def measure(samples: int) -> Iterator[tuple[str, float]]:
    """Yield each case's name and its median in microseconds; the plain handler comes first."""
    yield "plain handler", median_us(handler, samples)
    os.environ.pop("FAILURE_APPCONFIG_CONFIGURATION", None)
    yield "no configuration variable", median_us(inject(handler), samples)
    os.environ.update(PROFILE, AWS_APPCONFIG_EXTENSION_HTTP_PORT="1")
    configuration.find_configuration()._source = QuietDataPlane()
    yield "AppConfigData, no poll due", median_us(inject(handler), samples)
    configuration.find_configuration.cache_clear()
    with agent() as port:
        os.environ["AWS_APPCONFIG_EXTENSION_HTTP_PORT"] = str(port)
        yield "agent, asked within a second", median_us(inject(handler), samples)
        configuration.AGENT_CACHE_SECONDS = 0
        configuration.find_configuration.cache_clear()
        yield "agent, asked anew", median_us(inject(handler), samples)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=500, help="per case (default: %(default)s)")
    cases = list(measure(parser.parse_args().samples))
    plain_us = cases[0][1]
    print(f"{'':30}{'median us':>12}{'ratio':>10}")
    for name, cost_us in cases:
        print(f"{name:30}{cost_us:12.2f}{cost_us / plain_us:10.1f}")


if __name__ == "__main__":
    main()
