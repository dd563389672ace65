"""Steps: requests to AWS as data, which are printed as commands of the AWS command line or performed through boto3.

A value may contain variables, ``$NAME``, that an earlier step has set from its response.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any

from strandline.errors import AccountError

ENDPOINTS = {"s3": "s3api"}
"""Services that the command line names differently."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request.

    ``service``, ``operation`` and ``parameters`` are those of boto3. ``results`` sets variables from the response:
    name -> JMESPath expression; of several, keys with dots. ``kept`` are the codes of errors that mean that the thing
    exists already.
    """

    title: str
    service: str
    operation: str
    parameters: Mapping[str, Any]
    results: Mapping[str, str] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()


def shell(steps: Sequence[Step]) -> Iterator[str]:
    """Yield the steps as lines of a shell script."""
    yield "set -e"
    for step in steps:
        yield f"# {step.title}"
        yield command(step)


def command(step: Step) -> str:
    """Return a step as a command; what it sets becomes a variable of the shell."""
    words = ["aws", ENDPOINTS.get(step.service, step.service), _dashes(step.operation)]
    for name, value in step.parameters.items():
        option = f"--{_dashes(name)}"
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [option, _quoted(value if isinstance(value, str) else json.dumps(value))]
    if len(step.results) == 1:
        ((variable, path),) = step.results.items()
        return f"{variable}=$({' '.join([*words, '--query', shlex.quote(path), '--output', 'text'])})"
    if step.results:
        # One response with several values: stored, and read with Python, which every gateway's operator has.
        lines = [f"RESPONSE=$({' '.join(words)})"]
        for variable, path in step.results.items():
            keys = "".join(f"[{key!r}]" for key in path.split("."))
            lines.append(
                f'{variable}=$(printf %s "$RESPONSE" | '
                f'python3 -c "import json, sys; print(json.load(sys.stdin){keys}, end={chr(39) * 2})")'
            )
        return "\n".join(lines)
    text = " ".join(words)
    return f"{text} || true  # fails if it exists" if step.kept else text


def perform(
    steps: Sequence[Step],
    client: Callable[[str], Any],
    report: Callable[[str], None],
    variables: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Perform the steps and return all variables; raises AccountError that explains the failure of a step."""
    from botocore.exceptions import BotoCoreError, ClientError

    known = dict(variables or {})
    for step in steps:
        parameters = _filled(step.parameters, known)
        try:
            response = getattr(client(step.service), step.operation)(**parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code not in step.kept:
                raise AccountError(f"{step.title}: {explain(step, code, str(error))}") from error
            report(f"{step.title}: exists")
            continue
        except BotoCoreError as error:
            raise AccountError(f"{step.title}: {error}") from error
        for variable, path in step.results.items():
            known[variable] = _at(step, response, path)
        report(f"{step.title}: done")
    return known


def explain(step: Step, code: str, message: str) -> str:
    """Return the sentence for an error of AWS: the permission that is missing, or the remedy."""
    action = f"{step.service}:{''.join(part.capitalize() for part in step.operation.split('_'))}"
    if code in ("AccessDenied", "AccessDeniedException", "UnauthorizedException", "NotAuthorizedException"):
        return f"the caller lacks the permission {action} ({message})"
    if code in ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"):
        return f"the credentials are not valid any more or belong to another account ({message})"
    if code in ("LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"):
        return f"a quota of the account is reached ({message})"
    if code in ("ThrottlingException", "Throttling", "TooManyRequestsException"):
        return f"AWS limits the rate of requests: repeat the command, which continues where it stopped ({message})"
    if code in ("ResourceAlreadyExistsException", "EntityAlreadyExists"):
        return f"it exists with other properties ({message})"
    if code in ("ResourceNotFoundException", "NoSuchEntity", "NoSuchBucket"):
        return f"something that it refers to does not exist ({message})"
    return message


def _dashes(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"-\1", name).replace("_", "-").lower()


def _quoted(text: str) -> str:
    """Quote a word for the shell; one with variables so that the shell replaces them."""
    if "$" not in text:
        return shlex.quote(text)
    return '"' + re.sub(r'(["\\`])', r"\\\1", text) + '"'


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return Template(value).substitute(known) if "$" in value else value
    if isinstance(value, Mapping):
        return {name: _filled(one, known) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(one, known) for one in value]
    return value


def _at(step: Step, response: Mapping[str, Any], path: str) -> str:
    import jmespath

    value = jmespath.search(path, response)
    if value is None:
        raise AccountError(f"{step.title}: the response has no {path}")
    return str(value)
