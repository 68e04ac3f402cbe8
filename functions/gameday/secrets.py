"""Secrets by reference: a load names them, and only the worker that sends them ever reads them.

`${ssm:/name}` stands for a parameter of Parameter Store, `${secretsmanager:name}` for a secret of
Secrets Manager, and `${secretsmanager:name:key}` for one key of a secret that is a JSON object.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from gameday.errors import SecretNotRead

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

    from gameday.experiment import Load

_OF_ONE_LINE = ("headers", "values")
"""Fields of a load: a value may stand in a header."""

REFERENCE = re.compile(r"\$\{(ssm|secretsmanager):([^}:]*)(?::([^}]*))?\}")


@dataclass(frozen=True)
class Reference:
    """One secret by name, and the key of it that is meant."""

    service: str
    name: str
    key: str | None = None

    def __str__(self) -> str:
        return f"${{{':'.join(filter(None, (self.service, self.name, self.key)))}}}"


def references(node: object) -> Iterator[Reference]:
    """Every secret that a load or a part of it refers to."""
    match node:
        case str():
            yield from (_reference(found) for found in REFERENCE.finditer(node))
        case BaseModel():
            for _, value in node:
                yield from references(value)
        case dict():
            yield from references(list(node.values()))
        case list() | tuple():
            for item in node:
                yield from references(item)


def _reference(found: re.Match[str]) -> Reference:
    return Reference(found[1], found[2], found[3])


@dataclass(frozen=True)
class Secrets:
    """Where secrets are read."""

    ssm: "SSMClient"
    secretsmanager: "SecretsManagerClient"

    def resolved(self, load: "Load") -> "Load":
        """The load with every secret in its place; nothing else may ever hold it.

        Raises:
            SecretNotRead: one cannot be read, or would break the header that it stands in.
        """
        known = {reference: self._read(reference) for reference in set(references(load))}
        return _filled(load, known, one_line=False) if known else load

    def _read(self, reference: Reference) -> str:
        try:
            return self._from_store(reference)
        except self.ssm.exceptions.ClientError as error:  # botocore's, of every client
            reason = error.response["Error"]["Code"]
        except (KeyError, TypeError, ValueError):
            reason = f"no text under the key {reference.key!r}" if reference.key else "no text"
        # Without its cause: what was read may stand in it.
        raise SecretNotRead(f"{reference} cannot be read: {reason}") from None

    def _from_store(self, reference: Reference) -> str:
        if reference.service == "ssm":
            answer = self.ssm.get_parameter(Name=reference.name, WithDecryption=True)
            return answer["Parameter"]["Value"]
        text = self.secretsmanager.get_secret_value(SecretId=reference.name)["SecretString"]
        if reference.key is None:
            return text
        value = json.loads(text)[reference.key]
        if not isinstance(value, str):
            raise TypeError
        return value


def _filled(node: Any, known: dict[Reference, str], *, one_line: bool) -> Any:
    """A copy; made without validation, whose errors quote what they refuse."""
    match node:
        case str():
            text = REFERENCE.sub(lambda found: known[_reference(found)], node)
            if one_line and text != node and not text.isprintable():
                secrets = ", ".join(map(str, references(node)))
                raise SecretNotRead(f"{secrets} is not one line, as headers and values are")
            return text
        case BaseModel():
            return node.model_copy(
                update={
                    name: _filled(value, known, one_line=name in _OF_ONE_LINE)
                    for name, value in node
                }
            )
        case dict():
            return {name: _filled(v, known, one_line=one_line) for name, v in node.items()}
        case list() | tuple():
            return tuple(_filled(item, known, one_line=one_line) for item in node)
    return node
