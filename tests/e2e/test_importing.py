"""`models import`: which column goes where, and what is said of a name, an option or a file that does not fit."""

import orjson
import pytest
from onnx import TensorProto, helper

from tests.e2e.conftest import START, Shop, pay
from tests.models.builders import logistic, onnx_bytes, tensor
from tests.models.test_binding import less_then_more


def with_maps() -> bytes:
    """A classifier whose probabilities are a sequence of maps, as scikit-learn's come without zipmap=False."""
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    return onnx_bytes(
        [
            helper.make_node(
                "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", classlabels_ints=[0, 1], coefficients=[-1.0, 1.0], intercepts=[0.0, 0.0], post_transform="LOGISTIC"
            ),
            helper.make_node("ZipMap", ["scores"], ["probability"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
        ],
        [tensor("x", [None, 1])],
        [tensor("label", [None], TensorProto.INT64), helper.make_value_info("probability", maps)],
    )  # fmt: skip


A_NUMBER = "--on-null takes null_score, missing or a number, not "
REFUSED: dict[str, tuple[bytes, list[str], str]] = {
    "NaN for NULL": (logistic([1.0]), ["--on-null", "nan"], A_NUMBER + "'nan'"),
    "no end for NULL": (logistic([1.0]), ["--on-null", "-inf"], A_NUMBER + "'-inf'"),
    "a fruit for NULL": (logistic([1.0]), ["--on-null", "banana"], A_NUMBER + "'banana'"),
    "a path as name": (logistic([1.0]), ["--name", "../evil"], '--name: "../evil" is not a name: lower-case letters, digits and _, at most 63, a letter first; did you mean `evil`?'),
    "words as a column": (logistic([1.0]), ["--inputs", "the amount"], '--inputs: "the amount" is not a name: lower-case letters, digits and _, at most 63, a letter first; did you mean `the_amount`?'),
    "a column twice": (logistic([1.0, 1.0]), ["--inputs", "amount,amount"], "--inputs names amount twice"),
    "a text for a matrix": (logistic([1.0] * 3), ["--inputs", "amount,text,spend_1h", "--policy", "{policy}"], "text is a string, and the model takes numbers (x): leave it out of --inputs, or derive a number from it"),
    "maps": (with_maps(), [], "output probability is no tensor of numbers, and a score is one: export the model with probabilities as a tensor (skl2onnx: zipmap=False), or name another of its outputs (label, probability) with --output"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_said_in_a_line(shop: Shop, case: str) -> None:
    data, options, said = REFUSED[case]
    file = shop.folder / "net.onnx"
    file.write_bytes(data)
    given = {"--name": "net", "--inputs": "amount"} | dict(zip(options[::2], options[1::2], strict=True))
    arguments = [one.format(policy=shop.policy) for pair in given.items() for one in pair]
    done = shop.watchgate("models", "import", file, "--registry", shop.folder / "r", *arguments)
    assert (done.status, done.err.strip()) == (2, "error: " + said)
    assert not (shop.folder / "r").exists()


def test_columns_in_another_order_than_the_tensors_of_their_names(shop: Shop) -> None:
    file, registry = shop.folder / "net.onnx", shop.folder / "registry"
    file.write_bytes(less_then_more("spend_1h", "amount", "pays_10m"))
    shop.change(("features:", "features:\n  pays_10m: {count: pay, by: account, over: 10m}"))
    done = shop.watchgate(
        "models", "import", file, "--name", "net", "--inputs", "amount,pays_10m,spend_1h", "--policy", shop.policy, "--registry", registry, "--on-null", "0"
    )  # fmt: skip
    assert done.status == 0, done.err
    told = "its tensors are called like the columns, which are bound to them by name: spend_1h, amount, pays_10m\n"
    assert done.out.endswith(told)
    manifest = orjson.loads((registry / "net/1/manifest.json").read_bytes())
    assert [one["name"] for one in manifest["inputs"]] == ["spend_1h", "amount", "pays_10m"]
    shop.change(
        (
            "rules:",
            "models:\n  net: {version: 1}\nrules:\n  any: {on: pay, when: net > -1, action: hold, target: account, mode: live, warmup: ignore}",
        )
    )
    shop.run(
        shop.write([pay("p1", START, "a", amount=20.0), pay("p2", START + 1, "a", amount=5.0)]),
        "out",
        "--registry",
        registry,
    )
    scores = {v["event_id"]: v["scores"]["net"]["value"] for v in shop.read("verdicts")}
    assert scores == {"p1": 20.0 - 20.0 + 1, "p2": 25.0 - 5.0 + 2}
