"""The house rules that a machine can hold: the README is true, imports go downward, nothing unsafe is used."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = "src/hilum"
DOCUMENTS = ["README.md", "MODEL_CARD.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def rooms(repository: Path) -> set[str]:
    found = {p.name for p in (repository / PACKAGE).iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    return found | {"errors.py"}


def fenced(text: str, language: str = "") -> list[str]:
    blocks = re.findall(r"^```([a-z]*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [block for name, block in blocks if name == language]


def test_the_readme_draws_the_tree(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    tree = next(block for block in fenced(text) if block.startswith("src/hilum/"))
    drawn = dict(re.findall(r"^  (\S+?)/?\s{2,}(\S.*)$", tree, flags=re.MULTILINE))
    assert set(drawn) == rooms(repository)
    assert all(len(phrase.split()) > 3 for phrase in drawn.values())
    top = re.findall(r"^(\S+?)/\s{2,}\S", tree, flags=re.MULTILINE)
    for folder in top:
        assert (repository / folder).is_dir(), folder


def test_every_room_says_what_it_is(repository: Path) -> None:
    for room in rooms(repository):
        file = repository / PACKAGE / room
        tree = ast.parse((file / "__init__.py" if file.is_dir() else file).read_text())
        assert len((ast.get_docstring(tree) or "").split()) > 5, room


def test_links_lead_somewhere(repository: Path) -> None:
    documents = [repository / name for name in DOCUMENTS] + sorted((repository / "docs").rglob("*.md"))
    dead = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text())
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert dead == []


def test_paths_named_in_the_readme_exist(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    named = re.findall(r"`((?:src|tests|docs|recipes|requirements|benchmarks)/[\w./-]+)`", text)
    named += [f"{PACKAGE}/{path}" for path in re.findall(r"`((?:reporting|models|imaging)/[\w.]+\.py)`", text)]
    assert named
    assert [path for path in named if not (repository / path).exists()] == []


def test_commands_in_the_documents_exist(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    pages = [repository / name for name in DOCUMENTS] + sorted((repository / "docs").glob("*.md"))
    text = "\n".join(page.read_text() for page in pages)
    for target in set(re.findall(r"\bmake ([a-z-]+)\b(?= |`|,|$)", text)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"
    used: dict[tuple[str, ...], set[str]] = {}
    for line in re.findall(
        r"(?:\.venv/bin/)?hilum ((?:read|models|train|label|corpus|predict|ablate|adapt|reproduce)[^\n`]*)", text
    ):
        words = line.split("#")[0].split()
        grouped = words[0] in ("models", "train", "corpus", "ablate", "adapt") and len(words) > 1 and words[1] != "|"
        command = tuple(words[:2]) if grouped else tuple(words[:1])
        used.setdefault(tuple(w for w in command if w.isalnum()), set()).update(re.findall(r"--[a-z-]+", line))
    assert ("read",) in used
    for command, options in used.items():
        shown = subprocess.run(
            [sys.executable, "-m", "hilum", *command, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert [option for option in options if option not in shown] == [], command


def test_the_python_example_runs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hilum
    from hilum.imaging import encode_png, example_path, read_radiograph

    (tmp_path / "chest.png").write_bytes(encode_png(read_radiograph(example_path()).pixels, max_side=800))
    monkeypatch.chdir(tmp_path)
    example = next(block for block in fenced((repository / "README.md").read_text(), "python"))
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    result = names["result"]
    assert isinstance(result, hilum.reporting.ReadResult)  # type: ignore[attr-defined]
    assert len(result.studies) == 1
    assert not result.failures
    assert result.studies[0].report.findings_text


def test_the_public_interface_is_documented(repository: Path) -> None:
    import hilum

    text = (repository / "README.md").read_text()
    for name in hilum.__all__:
        value = getattr(hilum, name)
        if name != "__version__":
            assert value.__doc__
            assert f"hilum.{name}" in text, name
    with pytest.raises(AttributeError, match="no attribute"):
        hilum.nothing  # noqa: B018


def test_versions_agree(repository: Path) -> None:
    import hilum

    assert f"version: {hilum.__version__}" in (repository / "CITATION.cff").read_text()


def test_the_lock_covers_the_dependencies(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    locked = {
        line.split("==")[0].lower()
        for name in ("runtime", "torch")
        for line in (repository / "requirements" / f"{name}.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    wanted = {re.split(r"[<>=\[]", item)[0].lower() for item in project["dependencies"]}
    assert wanted <= locked


def test_importing_the_package_is_light() -> None:
    code = "import sys, hilum; print([m for m in ('torch', 'transformers', 'pydicom', 'numpy') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([str(command), "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("errors.py", "import hilum.records", "A room imports only rooms below it"),
        (
            "records/study.py",
            "def later():\n    from hilum.imaging import Decoder\n",
            "A room imports only rooms below it",
        ),
        ("labeling/grammar.py", "import torch", "No torch in the rooms that must start fast"),
        ("models/prompt.py", "import pydicom", "Only imaging names pydicom"),
        ("newroom/__init__.py", "", "A room imports only rooms below it"),
    ],
)
def test_a_planted_import_breaks_the_contract(
    repository: Path, tmp_path: Path, file: str, line: str, contract: str
) -> None:
    shutil.copytree(repository / PACKAGE, tmp_path / "hilum", ignore=shutil.ignore_patterns("starters", "__pycache__"))
    shutil.copy(repository / "pyproject.toml", tmp_path)
    planted = tmp_path / "hilum" / file
    planted.parent.mkdir(exist_ok=True)
    planted.write_text((planted.read_text() if planted.exists() else "") + f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert contract in result.stdout


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_nothing_in_the_package_can_run_what_it_reads(repository: Path) -> None:
    for file in (repository / PACKAGE).rglob("*.py"):
        tree = ast.parse(file.read_text())
        imported = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        } | {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        assert not imported & {"pickle", "joblib", "marshal", "dill", "shelve"}, file
        for call in calls(tree):
            name = ast.unparse(call.func)
            assert name not in {"eval", "exec", "__import__", "np.load"}, f"{file}:{call.lineno}"
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if name == "torch.load":
                assert options.get("weights_only") == "True", f"{file}:{call.lineno}"
            assert options.get("trust_remote_code", "False") == "False", f"{file}:{call.lineno}"


def test_weights_stay_within_their_bounds(repository: Path) -> None:
    weights = list((repository / PACKAGE).rglob("*.safetensors"))
    assert weights
    assert sum(file.stat().st_size for file in weights) <= 24_000_000
    others = [p for p in (repository / PACKAGE).rglob("*") if p.suffix in (".bin", ".pt", ".pth", ".npz")]
    assert others == []


def test_no_machine_path_in_tracked_text(repository: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"(^|[^\w.])/(work|root|home)/\w|https?://(registry|files|deb|pypi)\.")
    found = []
    for name in listed.stdout.splitlines():
        file = repository / name
        if file.suffix in (".safetensors", ".png") or not file.is_file() or file == Path(__file__):
            continue
        found += [
            f"{name}: {line[:80]}" for line in file.read_text(errors="replace").splitlines() if pattern.search(line)
        ]
    assert found == []
