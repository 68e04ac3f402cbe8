"""One invocation under the flags that apply to it; the decorator."""

import functools
import os
from collections.abc import Callable
from typing import cast

from gameday_injector import disk, network
from gameday_injector.configuration import find_configuration, is_configured
from gameday_injector.modes import Proceed


def inject[Handler: Callable[..., object]](handler: Handler) -> Handler:
    """Wrap a Lambda handler so that it obeys the configuration deployed for it.

    The handler itself is returned when the environment names no configuration: nothing is added.

    Raises:
        InjectedException: from the wrapped handler, while the mode `exception` applies.
    """
    if not is_configured():
        return handler
    network.install()  # now, so that it knows whom the connections opened from here on are to

    @functools.wraps(handler)
    def obedient(event: object, context: object) -> object:
        return run(event, context, functools.partial(handler, event, context))

    return cast(Handler, obedient)


def run(event: object, context: object, proceed: Proceed) -> object:
    """Return what the invocation answers: what `proceed` does, under the flags that apply.

    Whatever an invocation before this one left behind is undone first, also when nothing is
    enabled any more: one that was aborted could not clear up behind itself.
    """
    network.release()
    disk.release()
    if os.environ.get("FAILURE_LAMBDA_DISABLED") == "true":
        return proceed()
    for flag in reversed(find_configuration().flags()):
        if flag.applies_to(event):
            proceed = functools.partial(flag.effect, proceed, context)
    return proceed()
