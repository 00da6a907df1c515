"""One page, one file: everything escaped, nothing fetched, only our own style and script."""

import base64
import hashlib
import re

import jinja2
import pytest

from hilum.pages import render


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "page.html.j2").write_text(
        '{% extends "base.html.j2" %}'
        "{% block title %}{{ name }}{% endblock %}{% block body %}<p>{{ name }}</p>{% endblock %}"
    )
    (tmp_path / "page.js").write_text("document.title = 'x && y';")
    (tmp_path / "page.css").write_text("p { color: red; }")
    return tmp_path


def test_values_are_escaped(folder):
    page = render(folder, "page", name="<script>alert('1')</script>")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;") == 2


def test_policy_allows_exactly_the_style_and_script_inside(folder):
    page = render(folder, "page", name="x")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for kind in ("style", "script"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_without_a_script_none_may_run(folder):
    (folder / "page.js").unlink()
    page = render(folder, "page", name="x")
    assert "script-src &#39;none&#39;" in page
    assert "<script" not in page


def test_a_style_that_could_end_its_element_is_refused(folder):
    (folder / "page.css").write_text("/* </style><script>alert(1)</script> */")
    with pytest.raises(ValueError, match=r"page\.css"):
        render(folder, "page", name="x")


def test_a_missing_value_is_an_error_not_a_gap(folder):
    with pytest.raises(jinja2.UndefinedError):
        render(folder, "page")
