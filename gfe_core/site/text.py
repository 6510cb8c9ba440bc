"""Text of a page as HTML: Markdown with mathematics, highlighted code, and words to search."""

import re
from collections.abc import Callable
from html import escape, unescape
from typing import Any

import mistune
from latex2mathml.converter import convert
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers.python import PythonLexer
from pygments.lexers.special import TextLexer

_MATHEMATICS = re.compile(r"\$([^$\n]+)\$")
_TAGS = re.compile(r"<math.*?</math>|<[^>]+>", re.DOTALL)
_COLOURS = HtmlFormatter(nowrap=True)


class Page(mistune.HTMLRenderer):
    """Write HTML, and keep the headings with their anchors.

    Args:
        link: function from an address in a source to an address on the pages.
    """

    def __init__(self, link: Callable[[str], str]) -> None:
        super().__init__(escape=False)
        self._to = link
        self.places: dict[str, str] = {}
        """Map from the id of a heading to its words."""

    def heading(self, text: str, level: int, **_: Any) -> str:
        """Return a heading with an id of its own."""
        words = plain(text)
        place = re.sub(r"\W+", "-", words.lower()).strip("-") or "section"
        while place in self.places:
            place += "-"
        self.places[place] = words
        return f'<h{level} id="{place}">{text}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Return a link, which leads to a page instead of a notebook."""
        return super().link(text, self._to(url), title)

    def block_code(self, code: str, info: str | None = None) -> str:
        """Return highlighted code."""
        return coloured(code, python=info == "python")

    def inline_math(self, text: str) -> str:
        """Return a formula within a line."""
        return convert(text)

    def block_math(self, text: str) -> str:
        """Return a formula on lines of its own, which scrolls if it is too wide."""
        return f'<div class="formula">{convert(text.strip(), display="block")}</div>\n'


def markdown(page: Page) -> Callable[[str], str]:
    """Return the function that turns Markdown into HTML.

    Args:
        page: renderer that writes the HTML.
    """
    return mistune.create_markdown(renderer=page, plugins=["math", "table"])  # pyright: ignore


def coloured(code: str, *, python: bool = True) -> str:
    """Return code as HTML with classes for highlighting."""
    lexer = PythonLexer() if python else TextLexer()
    return f'<pre class="code" tabindex="0">{highlight(code, lexer, _COLOURS)}</pre>\n'


def with_mathematics(words: str) -> str:
    """Return plain words as HTML, `$...$` as formulas."""
    return with_formulas(escape(words))


def with_formulas(html: str) -> str:
    """Return HTML with its `$...$` as formulas."""
    return _MATHEMATICS.sub(lambda match: convert(unescape(match[1])), html)


def plain(text: str) -> str:
    """Return the words of HTML, without formulas."""
    return " ".join(unescape(_TAGS.sub(" ", text)).split())
