"""Lets a Python Lambda function obey the conditions of an experiment.

One decorator does it all::

    from gameday_injector import inject

    @inject
    def handler(event, context): ...

The function's environment says where the conditions stand, with the names that failure-lambda
uses: `FAILURE_APPCONFIG_APPLICATION`, `FAILURE_APPCONFIG_ENVIRONMENT`,
`FAILURE_APPCONFIG_CONFIGURATION` and `AWS_APPCONFIG_EXTENSION_HTTP_PORT`, or
`FAILURE_INJECTION_PARAM` and `FAILURE_CACHE_TTL`. `FAILURE_LAMBDA_DISABLED=true` switches
everything off.
"""

from gameday_injector.invocation import inject
from gameday_injector.modes import InjectedException

__all__ = ["InjectedException", "inject"]
