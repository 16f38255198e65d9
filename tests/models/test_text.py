"""The text model: the n-grams are pinned, a text's score depends on that text only, and what was fitted is what is exported."""

from hashlib import sha256
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.encodings import encoder_of
from models.golden import golden_fault
from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from models.structure import check_structure
from models.text_characters import characters
from models.text_encoding import KIND, encoding, feeds
from models.text_fit import TextFit, fit_text
from models.text_graph import OUTPUT, export_text
from models.text_ngrams import BITS, MOST_CHARACTERS, ngrams
from operators.scoring import ModelError
from schemas.manifest import Golden, Manifest, ModelInput, ModelOutput, TextEncoding

SPAM = ("win a free phone at", "subscribe to my channel", "cheap watches here", "earn money from home")
HAM = ("this song is great", "see you tomorrow at school", "what a beautiful voice", "I love the second part")
ODD = [
    "",
    " ",
    "\u200b",
    "a",
    "日本語のテキスト",
    "💰💰 🙂",
    "\ud7ff\U0010ffff",
    "e\u0301",
    "x" * 60_000,
    "ab " * 20_000,
]


def texts(count: int, seed: int) -> tuple[pl.Series, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < 0.3
    said = [f"{(SPAM if bad else HAM)[rng.integers(4)]} {rng.integers(1_000)}" for bad in labels]
    return pl.Series("text", said), labels


def scorer_of(fit: TextFit) -> OnnxScorer:
    data = export_text(fit)
    manifest = Manifest(
        name="spam", kind="text", inputs=[ModelInput(name="text", type="text")], layout="text", text=encoding(),
        output=ModelOutput(tensor=OUTPUT), calibration=fit.calibration,
        golden=Golden(inputs=[["hello"]], outputs=[0.5]), version=1, sha256=sha256(data).hexdigest(),
    )  # fmt: skip
    return OnnxScorer(StoredModel(manifest, data))


@pytest.fixture(scope="module")
def fit() -> TextFit:
    return fit_text(*texts(400, 1))


@pytest.fixture(scope="module")
def scorer(fit: TextFit) -> OnnxScorer:
    return scorer_of(fit)


def grams(text: str) -> set[int]:
    return set(ngrams(pl.Series([text])).numbers.tolist())


def by_hand(text: str) -> set[int]:
    """The definition, one n-gram at a time, in Python's own numbers: shares nothing but the character table."""
    table, full = characters(), 2**32

    def number(h: int, kind: int) -> int:
        h = ((h ^ kind) * 0x85EBCA6B) % full
        h ^= h >> 13
        return ((h * 0xC2B2AE35) % full) >> (32 - BITS)

    seen = [c for c in " " + text + " " if table.folded[min(ord(c), 0x1FFFF)]]
    plain: list[str] = []
    for c in seen:
        if not (
            table.folded[min(ord(c), 0x1FFFF)] == 32 and plain and table.folded[min(ord(plain[-1]), 0x1FFFF)] == 32
        ):
            plain.append(c)
    mixed = [int(table.mixed[min(ord(c), 0x1FFFF)]) for c in plain]
    word = [bool(table.word[min(ord(c), 0x1FFFF)]) for c in plain]
    found = set()
    for length in (2, 3, 4, 5):
        for start in range(len(mixed) - length + 1):
            h = 0
            for c in mixed[start : start + length]:
                h = (h * 0x9E3779B1 + c) % full
            found.add(number(h, length))
    words, current = [], []
    for c, inside, m in zip(plain, word, mixed, strict=True):
        if inside:
            current.append(m)
            continue
        words += [current] if current else []
        current = []
        words += [[m]] if table.folded[min(ord(c), 0x1FFFF)] != 32 else []
    words += [current] if current else []
    hashes = [sum(m * pow(0x01000193, i, full) for i, m in enumerate(w)) % full for w in words]
    found |= {number(h, 101) for h in hashes}
    return found | {number((a * 0x9E3779B1 + b) % full, 102) for a, b in pairwise(hashes)}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=8))
def test_ngrams_are_what_their_definition_says(some: list[str]) -> None:
    found = ngrams(pl.Series(some, dtype=pl.String))
    for text, start, end in zip(some, [0, *found.ends[:-1]], found.ends, strict=True):
        mine = found.numbers[start:end].tolist()
        assert mine == sorted(set(mine))
        assert set(mine) == (by_hand(text) if text.strip() and grams(text) else set(mine) & by_hand(text))


def test_ngrams_are_pinned() -> None:
    """A stored model means these numbers: whoever changes one changes the name of the encoding."""
    assert KIND == "ngrams1"
    table = characters()
    assert sha256(table.mixed.tobytes()).hexdigest()[:16] == "0f33557bcd0b3b44"
    assert sha256(table.word.tobytes()).hexdigest()[:16] == "a906fb6246a529fc"
    assert sorted(grams("a")) == [15909, 203509, 205537, 256581]
    everything = pl.Series([*SPAM, *HAM, *ODD])
    assert sha256(ngrams(everything).numbers.tobytes()).hexdigest()[:16] == "ef86ebb2a3d4ed86"


def test_disguises_are_seen_through() -> None:
    plain = grams("free money")
    for text in ("FREE  MONEY", "ＦＲＥＥ mоney", "fr\u200bee money", "𝓯𝓻𝓮𝓮\tmonéy", " free money\n"):
        assert grams(text) == plain, text
    assert grams("free honey") != plain
    assert grams("free money free money") > plain, "a repeated text adds the seam, and no n-gram twice"


def test_nothing_is_seen_in_an_empty_text() -> None:
    for text in ("", "\u200b", " ", "\u0301"):
        assert len(ngrams(pl.Series([text])).numbers) <= 1
    found = ngrams(pl.Series([], dtype=pl.String))
    assert (len(found.numbers), len(found.ends)) == (0, 0)


def test_long_texts_are_read_at_both_ends() -> None:
    half = MOST_CHARACTERS // 2
    assert grams("a" * half + "?" * 50_000 + "b" * half) == grams("a" * half + "b" * half)
    assert not grams("free money") <= grams("x" * half + "free money" + "x" * half)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=40) | st.sampled_from([*SPAM, *HAM, *ODD[:8]]), min_size=1, max_size=90), st.data())
def test_a_score_depends_on_its_text_only(scorer: OnnxScorer, some: list[str], data: st.DataObject) -> None:
    whole = scorer.score(pl.DataFrame({"text": some})).values
    edges = sorted({0, len(some), *data.draw(st.lists(st.integers(0, len(some)), max_size=4))})
    parts = [scorer.score(pl.DataFrame({"text": some[a:b]})).values for a, b in pairwise(edges)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert np.isfinite(whole).all()


def test_null_has_no_score_and_odd_texts_have_one(scorer: OnnxScorer) -> None:
    found = scorer.score(pl.DataFrame({"text": [*ODD, None]}))
    assert found.failed is None
    assert np.isfinite(found.values[:-1]).all() and np.isnan(found.values[-1])
    assert np.isnan(scorer.score(pl.DataFrame({"text": [None, None]}, schema={"text": pl.String})).values).all()


def test_it_learns_and_the_export_says_the_same(fit: TextFit, scorer: OnnxScorer) -> None:
    unseen, labels = texts(500, 2)
    scores = scorer.score(unseen.to_frame()).values
    assert ((scores > 0.5) == labels).all()
    margins = fit.margins(ngrams(unseen))
    exported = 1 / (1 + np.exp(-(fit.calibration.slope * margins + fit.calibration.offset)))
    np.testing.assert_allclose(scores, exported, atol=1e-6)
    check_structure(export_text(fit))
    wrong = golden_fault(scorer)
    assert wrong is not None and wrong.startswith("golden row 1 scores"), "the golden row of this test is made up"


def test_parts_of_a_text_are_told_by_their_place_and_what_they_did(scorer: OnnxScorer) -> None:
    said = ["hello, win a free phone at 7", "", "win"]
    found = scorer.spans(pl.DataFrame({"text": said}))
    assert found is not None and found[1] == []
    assert [said[0][one.start : one.end] for one in found[0]] == said[0].split()
    strongest = max(found[0], key=lambda one: one.effect)
    assert said[0][strongest.start : strongest.end] in ("win", "free", "phone")
    scores = scorer.score(
        pl.DataFrame({"text": [said[0], said[0][: strongest.start] + said[0][strongest.end :]]})
    ).values
    logits = np.log(scores / (1 - scores))
    assert strongest.effect == pytest.approx(logits[0] - logits[1], abs=1e-3)
    assert scorer.spans(pl.DataFrame({"text": said[::-1]})) == found[::-1]


@pytest.mark.parametrize("text", ["word " * 500, "ab " * 20_000, "x" * 60_000, " " * 9_000])
def test_a_long_text_has_few_parts_and_only_of_what_is_read(scorer: OnnxScorer, text: str) -> None:
    (found,) = scorer.spans(pl.DataFrame({"text": [text]})) or [[]]
    assert len(found) <= 24
    places = [place for one in found for place in (one.start, one.end)]
    assert places == sorted(places) and len({*places}) >= len(found)
    half = MOST_CHARACTERS // 2
    if len(text) > MOST_CHARACTERS and found:
        assert found[-1].end > len(text) - half
        read = text[:half] + text[-half:]
        assert (
            scorer.score(pl.DataFrame({"text": [read]})).values == scorer.score(pl.DataFrame({"text": [text]})).values
        )


def test_fitting_twice_gives_the_same_bytes(fit: TextFit) -> None:
    assert export_text(fit_text(*texts(400, 1))) == export_text(fit)


def test_another_encoding_is_refused() -> None:
    with pytest.raises(ModelError, match=r"text encoding ngrams9 is not known here \(known: ngrams1\)"):
        encoder_of(TextEncoding(kind="ngrams9"))
    with pytest.raises(ModelError, match=r"text encoding ngrams1 has options \{'bits': 20\}, and here it has"):
        encoder_of(TextEncoding(kind="ngrams1", options={"bits": 20}))
    assert [rows for rows, _ in encoder_of(encoding())(pl.Series(["a", "b"]))] == [2]


def test_long_texts_are_scored_a_few_at_a_time(scorer: OnnxScorer) -> None:
    """What a hostile batch makes the model hold at once is bounded, and its scores are those of each text alone."""
    rng = np.random.default_rng(1)
    long = pl.Series("text", ["".join(chr(c) for c in rng.integers(97, 123, 4_000)) for _ in range(40)])
    parts = list(feeds(long))
    assert sum(rows for rows, _ in parts) == 40 and len(parts) >= 3
    assert max(len(inputs["numbers"]) for _, inputs in parts) < 65_536 * 6
    whole = scorer.score(long.to_frame()).values
    assert whole.tolist() == [scorer.score(long[i : i + 1].to_frame()).values[0] for i in range(40)]


def test_one_class_only() -> None:
    said, labels = texts(100, 3)
    for wrong in (np.zeros(100, np.bool_), np.arange(100) < 50):
        with pytest.raises(ValueError, match="of 100 texts, the first 80 or the last 20 are all of one class"):
            fit_text(said, wrong)
    assert labels.any()
