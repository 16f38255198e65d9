"""README and the pages under docs/ are true: their commands run, and print what the page shows.

On a page, a fenced block after a line that ends with "`NAME`:" is the file NAME. In a `console` block the lines after
`$ ` are commands; each line below must be found in what the command prints, in that order, spacing aside. `...` stands for
what the page leaves out. On the pages of WHOLE a line ends where a printed one ends, unless it ends with `...`.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = (
    "README.md",
    "docs/policy.md",
    "docs/operating.md",
    "docs/input.md",
    "docs/labels.md",
    "docs/patterns.md",
    "docs/models.md",
    "docs/training.md",
)
WHOLE = ("README.md", "docs/input.md", "docs/patterns.md")
FENCE = re.compile(r"(?:^(?P<before>[^\n]+)\n\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w.-]+\.(?:yaml|jsonl|txt))`[^`]*:$")


def plain(text):
    return re.sub(r"\s+", " ", text).strip()


def shown(printed):
    """What a command prints, spacing aside; every line ends with a line feed."""
    return "".join(plain(line) + "\n" for line in printed.splitlines())


def parts(line, whole):
    """The parts of a line between what it leaves out; if `whole`, the last one with its line feed, unless that is left out."""
    *before, last = map(plain, line.split("..."))
    return [part for part in (*before, last + "\n" if whole and last else last) if part]


def commands(block):
    """(command, lines that it must print) for each `$ ` line."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def run(command, folder, root):
    """What a command prints, to both streams; a trailing `# exit N` says which status is right."""
    status = int(found[1]) if (found := re.search(r"# exit (\d+)$", command)) else 0
    python = shlex.quote(sys.executable)
    launch = f"{python} -c 'from jobs.cli import main; main()'"
    script = f'watchgate() {{ {launch} "$@"; }}\npython() {{ {python} "$@"; }}\n{command}'
    # `timeout` and the like start programs, not functions of the shell.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(root), "COLUMNS": "200", "PATH": path}
    ended = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == status, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_true(root, page, tmp_path):
    (tmp_path / "examples").symlink_to(root / "examples")
    ran = 0
    for fence in FENCE.finditer((root / page).read_text(encoding="utf-8")):
        name = FILE.search(fence["before"] or "")
        if fence["language"] == "console":
            for command, lines in commands(fence["body"]):
                printed, at = shown(run(command, tmp_path, root)), 0
                for line in (part for shows in lines for part in parts(shows, page in WHOLE)):
                    assert line in printed[at:], f"{command}\nshould print: {line}\nprinted: {printed}"
                    at = printed.index(line, at) + len(line)
                ran += 1
        elif name:
            (tmp_path / name[1]).write_text(fence["body"], encoding="utf-8")
    assert ran >= 2


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(root, page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (root / page).read_text(encoding="utf-8")):
        assert (root / page).parent.joinpath(target).exists(), target
