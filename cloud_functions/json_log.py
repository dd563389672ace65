"""Logs of the functions as JSON lines, each with the request that caused it.

A line has ``timestamp``, ``level``, ``service``, ``message``, ``function_request_id``, ``xray_trace_id`` while the
function is traced, ``correlation_id`` for an HTTP request, and the fields passed as ``extra``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Protocol

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""Attributes that every record has; the others are those passed as ``extra``."""
_TRACE = "_X_AMZN_TRACE_ID"
_RUNTIME = "awslambdaric"


class LambdaContext(Protocol):
    """Context of an invocation."""

    aws_request_id: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left to the invocation."""


Handler = Callable[[dict[str, Any], LambdaContext], Any]


class JsonFormatter(logging.Formatter):
    """Formatter of records as JSON; ``request`` are the fields of the current invocation."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service
        self.request: dict[str, str] = {}

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "message": record.getMessage(),
            **self.request,
            **{name: value for name, value in vars(record).items() if name not in _OWN},
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception_name"] = record.exc_info[0].__name__
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, separators=(",", ":"))


class Logger(logging.Logger):
    """Logger of a function; the level is in the environment variable ``LOG_LEVEL``."""

    def __init__(self, service: str) -> None:
        super().__init__(service, os.environ.get("LOG_LEVEL", "INFO"))
        self.formatter = JsonFormatter(service)
        handler = _StdoutHandler()
        handler.setFormatter(self.formatter)
        self.addHandler(handler)
        # The loggers of other modules write to the handler of Lambda's runtime.
        for other in logging.getLogger().handlers:
            if type(other).__module__.startswith(_RUNTIME):
                other.setFormatter(self.formatter)

    def inject_lambda_context(self, handler: Handler) -> Handler:
        """Decorate a handler so that the lines of an invocation name its request."""

        @wraps(handler)
        def run(event: dict[str, Any], context: LambdaContext) -> Any:
            request = {"function_request_id": str(context.aws_request_id)}
            trace = os.environ.get(_TRACE, "").partition(";")[0].removeprefix("Root=")
            http = event.get("requestContext")
            request |= {"xray_trace_id": trace} if trace else {}
            request |= {"correlation_id": str(http["requestId"])} if http and "requestId" in http else {}
            self.formatter.request = request
            return handler(event, context)

        return run


class _StdoutHandler(logging.Handler):
    """Writes to the standard output of the moment, which Lambda sends to the log group."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(self.format(record) + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            self.handleError(record)
