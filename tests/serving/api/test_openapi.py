"""The OpenAPI document: complete, and true of what is answered, whatever is sent that it allows."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from starlette.testclient import TestClient

from features.contract import TABLES
from serving.api.endpoints import ENDPOINTS
from tests.serving.api.conftest import ClientOf
from tests.serving.small import AS_OF


def described(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/openapi.json").json()
    return found


def test_the_document_has_every_endpoint_and_no_other(client_of: ClientOf) -> None:
    found = described(client_of())
    assert found["openapi"].startswith("3.1")
    listed = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert listed == {(one.method, one.path) for one in ENDPOINTS}
    operations = [one for methods in found["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert {"200", "400", "401", "403", "429", "500", "503"} <= set(one["responses"])
    assert found["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_every_reference_leads_somewhere_and_rows_have_the_portfolios_columns(client_of: ClientOf) -> None:
    client = client_of()
    found, text = described(client), client.get("/v1/openapi.json").text
    for kind, name in re.findall(r'"#/components/(\w+)/([^"]+)"', text):
        assert name in found["components"][kind]
    schemas = found["components"]["schemas"]
    assert all(set(table.column_names) <= set(schemas[f"{name}_row"]["properties"]) for name, table in TABLES.items())
    assert {"utilisation", "employment"} <= set(schemas["accounts_row"]["properties"])
    assert {"p_pay_sms", "value_none"} <= set(schemas["score_row"]["properties"])


def test_the_page_shows_all_of_it_and_needs_nothing_from_elsewhere(client_of: ClientOf) -> None:
    answer = client_of().get("/v1/docs")
    assert answer.headers["content-type"].startswith("text/html")
    for one in ENDPOINTS:
        assert f"<h2>{one.method} /v1{one.path}</h2>" in answer.text
    assert "<script" not in answer.text
    assert not re.search(r'(?:src|href)="(?!#|openapi\.json")', answer.text)
    targets, ids = (set(re.findall(pattern, answer.text)) for pattern in (r'href="#([^"]+)"', r'id="([^"]+)"'))
    assert targets <= ids


def test_another_method_is_told_all_that_there_are(client_of: ClientOf) -> None:
    answer = client_of().delete("/v1/overrides")
    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(answer.json()["error"]["detail"]["allow"].split(", "))
    assert client_of().head("/v1/model").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_what_is_answered_is_what_the_document_says(client_of: ClientOf, endpoint: Any) -> None:
    """Schemathesis draws requests from the document, such as it allows and such as it does not."""
    import schemathesis
    from schemathesis.generation import GenerationMode

    client = client_of(AS_OF)
    operation = schemathesis.openapi.from_asgi("/v1/openapi.json", client.app)[endpoint.path][endpoint.method]
    checks = [
        schemathesis.checks.CHECKS.get_one(name)
        for name in (
            *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
            *("response_schema_conformance", "response_headers_conformance"),
        )
    ]
    # Any text may stand in a path: there is nothing that it does not allow.
    in_query = [one for one in endpoint.parameters if f"{{{one.name}}}" not in endpoint.path]
    takes_something = endpoint.request is not None or in_query
    for mode in GenerationMode if takes_something else (GenerationMode.POSITIVE,):

        @settings(
            max_examples=15, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers_as_described(case: Any) -> None:
            # Starlette mounts an application for paths without a line break: others never come to it.
            assume("\n" not in unquote(case.formatted_path))
            case.call_and_validate(checks=checks)

        answers_as_described()
