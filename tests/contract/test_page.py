"""The page's headers in the template against those of the code, and the isolation of its bucket."""

from __future__ import annotations

from typing import Any

from cloud_functions.dashboard import page
from tests.contract.test_template import RESOURCES, of_type


def only(kind: str, name: str) -> dict[str, Any]:
    return of_type(kind)[name]


def test_cloudfront_sends_the_headers_of_the_page() -> None:
    config = only("AWS::CloudFront::ResponseHeadersPolicy", "PageHeaders")["ResponseHeadersPolicyConfig"]
    security = config["SecurityHeadersConfig"]
    policy = security["ContentSecurityPolicy"]["ContentSecurityPolicy"]
    assert policy["Sub"] == page.security_policy(["${PageConnect}"])
    headers = page.headers(page.INDEX)
    sent = {item["Header"]: item["Value"] for item in config["CustomHeadersConfig"]["Items"]} | {
        "Content-Security-Policy": page.security_policy(),
        "X-Frame-Options": security["FrameOptions"]["FrameOption"],
        "Referrer-Policy": security["ReferrerPolicy"]["ReferrerPolicy"],
        "X-Content-Type-Options": "nosniff",
    }
    assert sent == {name: value for name, value in headers.items() if name not in ("Content-Type", "Cache-Control")}
    assert all(entry["Override"] for entry in security.values())


def test_only_the_distribution_reads_the_pages_bucket() -> None:
    blocked = only("AWS::S3::Bucket", "PageBucket")["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}
    statements = only("AWS::S3::BucketPolicy", "PageBucketPolicy")["PolicyDocument"]["Statement"]
    allowed = [one for one in statements if one["Effect"] == "Allow"]
    assert len(allowed) == 1
    assert allowed[0]["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert "PageDistribution" in str(allowed[0]["Condition"]["StringEquals"]["aws:SourceArn"])


def test_the_page_and_the_api_have_one_address() -> None:
    config = only("AWS::CloudFront::Distribution", "PageDistribution")["DistributionConfig"]
    assert config["DefaultRootObject"] == page.INDEX
    assert [(one["PathPattern"], one["TargetOriginId"]) for one in config["CacheBehaviors"]] == [("/v1/*", "api")]
    assert config["DefaultCacheBehavior"]["TargetOriginId"] == "page"
    protocols = {one["ViewerProtocolPolicy"] for one in (config["DefaultCacheBehavior"], *config["CacheBehaviors"])}
    assert protocols == {"redirect-to-https", "https-only"}


def test_the_page_is_absent_unless_it_is_selected() -> None:
    of_the_page = {name: resource for name, resource in RESOURCES.items() if name.startswith("Page")}
    assert len(of_the_page) == 5
    assert all(resource["Condition"] == "HasPage" for resource in of_the_page.values())
