"""The rule packs in words, for the page that documents them."""

from __future__ import annotations

from collections.abc import Iterator

from serving.contact_rules.packs import UNKNOWN_PACK, RulePack, rule_packs


def packs_in_words() -> str:
    """A table of all rules for each shipped pack, as docs/contact-rules.md has them."""
    return "\n".join(line for pack in rule_packs().values() if pack.name != UNKNOWN_PACK for line in _lines(pack))


def _lines(pack: RulePack) -> Iterator[str]:
    yield f"### `{pack.name}`"
    yield ""
    yield f"{pack.title}; read on {pack.dated}. {pack.source}."
    yield ""
    yield "| rule | says | written in |"
    yield "|---|---|---|"
    for rule in pack.rules:
        yield f"| `{rule.id}` | {rule.words} | {rule.source} |"
    yield ""
