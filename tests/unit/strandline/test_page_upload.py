"""Upload of the page: order, headers and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cloud_functions.dashboard import page
from strandline.aws.page_upload import page_files, upload


class FakeS3:
    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []

    def put_object(self, **request: Any) -> None:
        self.objects.append(request)


def test_the_files_are_uploaded_with_their_types_and_the_index_last(tmp_path: Path) -> None:
    for name in ("index.html", "app-ABC.js", "app-XYZ.css", "favicon.svg", ".inputs", "app-ABC.js.map"):
        (tmp_path / name).write_text(name)
    s3 = FakeS3()
    config = page.oidc_config("/v1", "https://issuer.example", "page", scope="openid", token="id_token")  # noqa: S106
    names = upload(s3, "bucket", page_files(config, tmp_path))
    assert names == ["config.json", "app-ABC.js", "app-XYZ.css", "favicon.svg", "index.html"]
    by_name = {one["Key"]: one for one in s3.objects}
    assert by_name["app-ABC.js"]["ContentType"] == "text/javascript; charset=utf-8"
    assert by_name["app-ABC.js"]["CacheControl"] == "public, max-age=31536000, immutable"
    assert by_name["index.html"]["CacheControl"] == by_name["config.json"]["CacheControl"] == "no-cache"
    assert json.loads(by_name["config.json"]["Body"]) == {
        "api": "/v1",
        "login": {"type": "oidc", "issuer": "https://issuer.example", "client_id": "page", "scope": "openid",
                  "token": "id_token"},
    }  # fmt: skip
    assert {one["Bucket"] for one in s3.objects} == {"bucket"}
