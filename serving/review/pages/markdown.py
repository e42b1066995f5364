"""Markdown as HTML that may stand in a page: whoever wrote it, it has text, headings, lists and tables alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

#: What would load something, lead somewhere, or be HTML of its writer's own; such text stands as it is.
_LEFT_OUT = ("html_block", "html_inline", "image", "link", "autolink", "reference")
#: A writer's headings begin below that of the page.
_DEEPER, _DEEPEST = 1, 6


def as_html(text: str) -> str:
    r"""Markdown as HTML, with every text escaped: nothing in it is a link, an image, a style or a script.

    >>> print(as_html("# *A* card\n\n<b>x</b> [y](javascript:z)"))
    <h2><em>A</em> card</h2>
    <p>&lt;b&gt;x&lt;/b&gt; [y](javascript:z)</p>
    <BLANKLINE>
    """
    reader = _reader()
    tokens = _adapted(reader.parse(text))
    return str(reader.renderer.render(tokens, reader.options, {}))


@lru_cache(maxsize=1)
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table").disable(_LEFT_OUT)


class _Renderer(RendererHTML):
    """Tables scroll within the page."""

    def table_open(self, tokens: Sequence[Token], place: int, *_: Any) -> str:
        """What stands before a table."""
        return '<div class="scroll" tabindex="0"><table class="rows dense">\n'

    def table_close(self, *_: Any) -> str:
        """What stands after a table."""
        return "</table></div>\n"


def _adapted(tokens: list[Token]) -> list[Token]:
    """Headings one step down, no inline styles, and no head of a table that says nothing."""
    kept: list[Token] = []
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + _DEEPER, _DEEPEST)}"
        token.attrs = {"scope": "col"} if token.type == "th_open" else {}
        kept.append(token)
        if token.type == "thead_close":
            begin = max(place for place, one in enumerate(kept) if one.type == "thead_open")
            if not any(one.content.strip() for one in kept[begin:] if one.type == "inline"):
                del kept[begin:]
    return kept
