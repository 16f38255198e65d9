"""`models import`: which column goes where, and what is said of a name, an option or a file that does not fit."""

import orjson

from tests.e2e.conftest import START, Shop, pay
from tests.models.test_binding import less_then_more


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
