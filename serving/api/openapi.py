"""The OpenAPI 3.1 document of the API, made from the table of endpoints and the types of requests and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from serving.api.answers import ErrorAnswer
from serving.api.calls import Answer, Call, Endpoint
from serving.requests import RequestTypes

#: What errors there are, by status, and when.
ERRORS = {
    "400": "The request cannot be answered as it is; the message says what to change.",
    "401": "No key, or none that is known.",
    "403": "The key is not for this.",
    "404": "There is nothing of this name.",
    "405": "Another method.",
    "409": "It needs stored histories and the service has no store, or what it is about is gone.",
    "413": "The body is too large.",
    "429": "Too much at once; Retry-After says when to try again.",
    "500": "A fault in Recoup.",
    "503": "The service or its store is not ready; what was sent was not kept.",
}
_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_KEY = (
    "An API key, as `Authorization: Bearer KEY`. Each endpoint needs the scope that it names. No key is needed where "
    "none was made and the service listens on its own machine alone."
)
_ABOUT = (
    "Whom to contact next, through which channel and when. Times are ISO 8601, amounts in the portfolio's currency; "
    "what is not known is null."
)


def answer(call: Call, endpoints: Sequence[Endpoint]) -> Answer:
    """The document of the endpoints, for the portfolio that is served."""
    return Answer(document(endpoints, call.engine.types))


def document(endpoints: Sequence[Endpoint], types: RequestTypes) -> dict[str, Any]:
    """The OpenAPI document; requests have the columns of the portfolio that `types` are of."""
    of_endpoints = [found for one in endpoints for found in _types(one, types)]
    schemas, components = msgspec.json.schema_components([ErrorAnswer, *of_endpoints], ref_template=_REF)
    of_error, rest = schemas[0], iter(schemas[1:])
    paths: dict[str, Any] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, rest)
    responses = {
        status: {"description": meaning, "content": {_JSON: {"schema": of_error}}} for status, meaning in ERRORS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Recoup", "version": version("recoup"), "description": _ABOUT},
        "servers": [{"url": "/v1"}],
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {f"Error{status}": response for status, response in responses.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": _KEY}},
        },
    }


def _types(endpoint: Endpoint, types: RequestTypes) -> list[Any]:
    """The types of an endpoint in the order in which `_operation` takes their schemas."""
    body = [] if endpoint.request is None else [endpoint.request(types)]
    return [*(parameter.type for parameter in endpoint.parameters), *body, endpoint.answers(types)]


def _operation(endpoint: Endpoint, schemas: Iterator[dict[str, Any]]) -> dict[str, Any]:
    in_path = "{%s}"
    parameters = [
        {
            "name": parameter.name,
            "in": "path" if in_path % parameter.name in endpoint.path else "query",
            "required": in_path % parameter.name in endpoint.path,
            "description": parameter.meaning,
            "schema": next(schemas),
        }
        for parameter in endpoint.parameters
    ]
    has_body = endpoint.request is not None
    body = {"requestBody": {"required": True, "content": {_JSON: {"schema": next(schemas)}}}} if has_body else {}
    found = {"description": endpoint.summary, "content": {endpoint.media_type: {"schema": next(schemas)}}}
    errors = [status for status in ERRORS if has_body or status != "413"]
    return {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "description": f"Scope: {endpoint.scope}.",
        "parameters": parameters,
        **body,
        "responses": {"200": found, **{status: {"$ref": f"#/components/responses/Error{status}"} for status in errors}},
    }


def _operation_id(endpoint: Endpoint) -> str:
    words = endpoint.path.replace("{", "").replace("}", "").replace(".", "_").strip("/").split("/")
    return "_".join([endpoint.method.lower(), *words])
