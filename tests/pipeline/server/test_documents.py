"""The OpenAPI document, and requests that schemathesis makes from it."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.pipeline.server.conftest import Serve


# Hypothesis blames the strategies of schemathesis if another thread takes a random number while they make a
# request. The leases that earlier tests have left do so when they repeat requests.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_requests_made_from_the_document_find_no_fault(serve: Serve) -> None:
    # Only here, because they take seconds to import.
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.core.result import Ok
    from schemathesis.specs.openapi import checks

    expected = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    served = serve()
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")
    # A stream of events has no end.
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    operations = [each for each in found if not each.path.endswith("events")]
    assert len(operations) == len(found) - 2
    for operation in operations:
        _try(operation, expected)


def _try(operation: Any, checks: Sequence[Any]) -> None:
    @seed(20)
    @settings(
        max_examples=8,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(operation.as_strategy(), operation.as_strategy()))
    def tried(case: Any) -> None:
        response = case.call(headers={"Prefer": "wait=1"})
        case.validate_response(response, checks=checks)

    tried()


def test_the_document_describes_each_route(serve: Serve) -> None:
    document = serve(works=False).client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/stylize",
        "/jobs/{id}",
        "/jobs/{id}/picture",
        "/manifests",
        "/manifests/{name}",
        "/manifests/{name}/retry",
        "/manifests/{name}/events",
        "/manifests/{name}/pairs",
        "/manifests/{name}/pairs/{pair}/preview",
        "/images/{path}",
        "/results",
        "/results/{name}/{path}",
        "/thumbnails/{name}/{file}",
        "/events",
        "/progress",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    form = document["paths"]["/stylize"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"content_image", "style_image", "style_weights", "epochs", "max_size"} <= set(form["properties"])


def test_the_page_of_the_api_loads_and_runs_nothing(serve: Serve) -> None:
    answer = serve(works=False).client.get("/docs")
    assert "POST /stylize" in answer.text
    for word in ("<script", "src=", "http://", "https://", "@import", "url("):
        assert word not in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
