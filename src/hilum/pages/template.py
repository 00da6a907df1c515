"""One way from a template to a page: everything escaped, everything inside one file, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from hilum.pages.printable import printable

HERE = Path(__file__).parent / "templates"


Look = Literal["screen", "paper"]
_SHEETS: dict[Look, tuple[str, ...]] = {"screen": ("base.css",), "paper": ("base.css", "paper.css")}


def render(folder: Path, name: str, /, *, look: Look = "screen", **context: Any) -> str:
    """Render `folder/name.html.j2`, with `name.css` and `name.js` beside it where they exist, as one file.

    The template extends `base.html.j2` and fills its blocks. Values are made printable and escaped unless they are
    `Markup`. The page's content security policy names the hash of its one style sheet and one script: nothing else can
    run, and nothing is fetched, so neither `style=` attributes nor `on...=` handlers work in a template.

    Args:
        folder: where the template lies.
        name: its name without suffixes.
        look: "screen" is dark, as pictures are read; "paper" is a document that is printed too.
        **context: the template's variables.

    Returns:
        The HTML document.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, HERE]),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "".join(_inline(HERE / sheet) for sheet in _SHEETS[look]) + _inline(folder / f"{name}.css")
    script = _inline(folder / f"{name}.js")
    return environment.get_template(f"{name}.html.j2").render(
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        content_security_policy=_policy(style, script),
        **context,
    )


def _inline(path: Path) -> str:
    """A style sheet or script of ours; empty where there is none."""
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    if "</" in text:
        raise ValueError(f"{path.name} holds '</', which could end the element it is put into")
    return text


def _policy(style: str, script: str) -> str:
    """Content-Security-Policy: pictures inside the file, this style sheet, this script, nothing else."""

    def source(text: str) -> str:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        return f"'sha256-{digest}'" if text else "'none'"

    return (
        f"default-src 'none'; img-src data:; style-src {source(style)}; script-src {source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
