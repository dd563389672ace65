"""Options of the commands that use the API, and the client that they select: a stack, or an address with a token."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from strandline.api.client import ApiClient
from strandline.api.transport import signed, with_token
from strandline.errors import AccountError, ApiError

Url = Annotated[str | None, typer.Option(help="Address of the API, in the place of a stack.", envvar="STRANDLINE_URL")]
Token = Annotated[
    str | None, typer.Option(help="Token for an API with an issuer of tokens.", envvar="STRANDLINE_TOKEN")
]


def open_client(stack: str, endpoint_url: str | None, url: str | None, token: str | None) -> ApiClient:
    """Return the client of the API at ``url``, or of a stack; without a token, requests are signed.

    Raises AccountError, and ApiError for an address without a token.
    """
    if url is not None:
        if not token:
            raise ApiError(f"{url}: a token is needed: --token, or STRANDLINE_TOKEN in the environment", 401)
        return ApiClient(url.removesuffix("/v1"), with_token(token))
    from strandline.account import LOCAL, NO_CREDENTIALS, open_account

    with open_account(stack, endpoint_url) as account:
        address = account.outputs["ApiUrl"]
        local = endpoint_url or os.environ.get("AWS_ENDPOINT_URL")
        if local:
            # The address of the emulator for the API; its output is that of AWS.
            address = f"{local.rstrip('/')}/_aws/execute-api/{account.outputs['ApiId']}"
        if token:
            return ApiClient(address, with_token(token))
        credentials, region = account.credentials()
    if credentials is None:
        raise AccountError(f"stack {stack}: {NO_CREDENTIALS}; {LOCAL}")
    return ApiClient(address, signed(credentials, region))
