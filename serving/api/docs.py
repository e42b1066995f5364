"""`/v1/docs`: the OpenAPI document as a page for people, which needs nothing from elsewhere and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from serving.api.calls import Answer, Call, Endpoint
from serving.api.openapi import document

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c}"
    "code{font-family:ui-monospace,monospace;background:#f2f2f2;padding:0 .2em}"
    "table{border-collapse:collapse;margin:.5rem 0 1rem;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #ddd}"
    "h2{margin-top:2.5rem}"
)


def answer(call: Call, endpoints: Sequence[Endpoint]) -> Answer:
    """The page."""
    return Answer(page(document(endpoints, call.engine.types)), media_type="text/html")


def page(described: Mapping[str, Any]) -> str:
    """An OpenAPI document as HTML: every endpoint, every error, every type."""
    info, components = described["info"], described["components"]
    operations = [
        _operation(f"{method.upper()} /v1{path}", operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    errors = _table(
        ("status", "when"),
        [(name.removeprefix("Error"), escape(found["description"])) for name, found in components["responses"].items()],
    )
    types = [_type(name, schema) for name, schema in sorted(components["schemas"].items())]
    body = (
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        f"<p>{escape(components['securitySchemes']['key']['description'])}</p>"
        f'<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{''.join(operations)}<h2>Errors</h2>"
        f'<p>All have one shape, <a href="#ErrorAnswer">ErrorAnswer</a>.</p>{errors}<h2>Types</h2>{"".join(types)}'
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def _operation(title: str, operation: Mapping[str, Any]) -> str:
    rows = [
        (f"<code>{escape(one['name'])}</code>", _in_words(one["schema"]), escape(one["description"]))
        for one in operation["parameters"]
    ]
    parameters = _table(("in the URL", "type", "meaning"), rows) if rows else ""
    content = operation.get("requestBody", {}).get("content", {})
    bodies = "".join(f"<p>Body: {_in_words(one['schema'])}</p>" for one in content.values())
    answers = "".join(
        f"<p>Answer: {escape(media)}, {_in_words(one['schema'])}</p>"
        for media, one in operation["responses"]["200"]["content"].items()
    )
    text = f"{escape(operation['summary'])} {escape(operation['description'])}"
    return f"<h2>{escape(title)}</h2><p>{text}</p>{parameters}{bodies}{answers}"


def _type(name: str, schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (f"<code>{escape(field)}</code>", _in_words(of_field), "yes" if field in required else "")
        for field, of_field in schema.get("properties", {}).items()
    ]
    table = _table(("field", "type", "required"), rows)
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>{table}'


def _in_words(schema: Mapping[str, Any]) -> str:
    """A schema as a few words of HTML; named types as links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_in_words(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_in_words(schema.get('items', {}))}"
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    kind = schema.get("type", "anything")
    return escape(" ".join([kind if isinstance(kind, str) else " or ".join(kind), *bounds]))


_BOUNDS = {"minimum": "from", "maximum": "to", "minLength": "of at least", "maxLength": "of at most"}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(one)}</th>" for one in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"
