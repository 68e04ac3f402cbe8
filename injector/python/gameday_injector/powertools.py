"""The conditions as a middleware of Powertools' event handlers.

For a function that wants them on some of its routes only::

    app = APIGatewayRestResolver()

    @app.get("/images", middlewares=[obey_conditions])
    def images(): ...

A whole function is better decorated with `inject`.
"""

from typing import Any, cast

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import ApiGatewayResolver
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware

from gameday_injector import network
from gameday_injector.configuration import is_configured
from gameday_injector.invocation import run

network.install()


def obey_conditions(app: ApiGatewayResolver, next_middleware: NextMiddleware) -> Response[Any]:
    """Answer the route's response, under the flags that apply to the event.

    Raises:
        InjectedException: while the mode `exception` applies.
    """
    if not is_configured():
        return next_middleware(app)
    answers: list[Response[Any]] = []

    def proceed() -> object:
        response = next_middleware(app)
        answers.append(response)
        return {"body": response.body}

    answer = cast(dict[str, Any], run(app.current_event.raw_event, app.lambda_context, proceed))
    if not answers:
        return Response(
            answer["statusCode"], answer["headers"]["Content-Type"], body=answer["body"]
        )
    answers[0].body = answer["body"]
    return answers[0]
