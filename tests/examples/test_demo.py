"""The demo trains a model on the spot, and the README of the example says what came of it."""

import re


def test_the_demo_shows_a_model_beside_the_rules(root, watchgate, tmp_path):
    shown = watchgate("demo", "--output", tmp_path / "demo")
    second = shown[shown.index("2. A text classifier") : shown.index("3. Password spraying")]
    row = re.compile(r"^(\w+) +(?:live|shadow) +(\d+) +(\d+) .*? (\d\.\d\d) \(\S+\) +(\d\.\d\d) ", re.MULTILINE)
    found = {
        name: (int(live) + int(shadow), precision, recall)
        for name, live, shadow, precision, recall in row.findall(second)
    }
    claimed = re.findall(
        r"^\| (\w+) \| (\d+) \| (\d\.\d\d) \| (\d\.\d\d) \|$",
        (root / "examples/comments/README.md").read_text(),
        re.MULTILINE,
    )
    assert len(claimed) == 2
    for name, hits, precision, recall in claimed:
        assert found[name] == (int(hits), precision, recall)
    assert float(found["spam_model"][2]) > float(found["promo_phrase"][2])
    assert "spam_model fired for comment" in second
    assert watchgate(
        "rules",
        "check",
        tmp_path / "demo/comments-model/policy.yaml",
        "--registry",
        tmp_path / "demo/comments-model/models",
    )
