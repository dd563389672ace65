"""``strandline page``: the built page into the bucket of a stack."""

from __future__ import annotations

from typing import Annotated

import typer

from strandline.command_line_options import AsJson, EndpointUrl, Stack
from strandline.text import print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("page")(page_command)


def page_command(
    issuer: Annotated[str, typer.Option(help="Address of the OpenID Connect issuer.")],
    client_id: Annotated[str, typer.Option(help="Id of the page at the issuer, a public client.")],
    stack: Stack = "strandline",
    scope: Annotated[str, typer.Option(help="Scopes to request.")] = "openid",
    token: Annotated[str, typer.Option(help="Token for the API: access_token or id_token.")] = "access_token",  # noqa: S107
    endpoint_url: EndpointUrl = None,
    as_json: AsJson = False,
) -> None:
    """Upload the page of a stack that is deployed with Page=on, with its config.json.

    The stack's parameter PageConnect names the origins of the issuer and of its token endpoint.
    """
    from cloud_functions.dashboard import page
    from strandline.account import open_account
    from strandline.aws.page_upload import page_files, upload
    from strandline.errors import CommandError

    if token not in ("access_token", "id_token"):
        raise typer.BadParameter(f"--token {token!r}: access_token or id_token is required")
    config = page.oidc_config("/v1", issuer, client_id, scope=scope, token=token)
    with open_account(stack, endpoint_url) as account:
        try:
            names = upload(account.client("s3"), account.outputs["PageBucketName"], page_files(config))
        except page.PageMissingError as error:
            raise CommandError(str(error)) from error
        address = account.outputs["PageUrl"]
    if as_json:
        print_json({"uploaded": names, "url": address})
        return
    typer.echo(f"uploaded {', '.join(names)}")
    typer.echo(f"the page: {address}")
