"""Timer of the local cloud: it invokes the function again and again, also after a failure, and ends."""

from __future__ import annotations

import threading
from typing import Any

from botocore.exceptions import ClientError

from device_sim.aws.timer import Timer


class FakeFunctions:
    """Client whose first invocation fails."""

    def __init__(self) -> None:
        self.invoked: list[str] = []
        self.enough = threading.Event()
        self.closed = False

    def invoke(self, **request: Any) -> None:
        self.invoked.append(request["FunctionName"])
        if len(self.invoked) == 1:
            raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")
        self.enough.set()

    def close(self) -> None:
        self.closed = True


def test_the_timer_invokes_the_function_until_it_is_stopped() -> None:
    functions = FakeFunctions()
    timer = Timer(functions, "watch", 0.001)
    assert functions.enough.wait(30)
    timer.stop()
    timer.stop()
    assert set(functions.invoked) == {"watch"}
    assert functions.closed
