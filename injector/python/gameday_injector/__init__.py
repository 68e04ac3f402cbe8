"""Lets a Python Lambda function obey the conditions of an experiment.

One decorator does it all::

    from gameday_injector import inject

    @inject
    def handler(event, context): ...

The function's environment says where the conditions stand, with the names that failure-lambda
uses: `FAILURE_APPCONFIG_APPLICATION`, `FAILURE_APPCONFIG_ENVIRONMENT`,
`FAILURE_APPCONFIG_CONFIGURATION` and `AWS_APPCONFIG_EXTENSION_HTTP_PORT`.
"""

import functools
import os
from collections.abc import Callable
from typing import cast

from gameday_injector import network
from gameday_injector.configuration import find_configuration
from gameday_injector.modes import InjectedException

__all__ = ["InjectedException", "inject"]


def inject[Handler: Callable[..., object]](handler: Handler) -> Handler:
    """Wrap a Lambda handler so that it obeys the configuration deployed for it.

    The handler itself is returned when the environment names no configuration: nothing is added.

    Raises:
        InjectedException: from the wrapped handler, while the mode `exception` applies.
    """
    if not os.environ.get("FAILURE_APPCONFIG_CONFIGURATION"):
        return handler

    @functools.wraps(handler)
    def obedient(event: object, context: object) -> object:
        network.release()  # an invocation that was aborted could not clear up behind itself
        proceed: Callable[[], object] = functools.partial(handler, event, context)
        for flag in reversed(find_configuration().flags()):
            if flag.applies_to(event):
                proceed = functools.partial(flag.effect, proceed)
        return proceed()

    return cast(Handler, obedient)
