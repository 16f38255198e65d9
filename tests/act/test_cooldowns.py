"""Rows of targets that a rule acted on."""

from operators.cooldowns import Cooldowns, cooldown_key, expired, read_row
from operators.store import DictStore


class Counting(DictStore):
    """A store that tells how it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[list[bytes]] = []

    def get_many(self, keys):
        self.reads.append(list(keys))
        return super().get_many(keys)


def write(cooldowns: Cooldowns, store: DictStore) -> None:
    for key, value in cooldowns.take_dirty():
        if value is None:
            store.rows.pop(key, None)
        else:
            store.rows[key] = value


def test_keys_are_apart() -> None:
    keys = {
        cooldown_key("live", "a", "account", b"x"),
        cooldown_key("shadow", "a", "account", b"x"),
        cooldown_key("live", "b", "account", b"x"),
        cooldown_key("live", "a", "card", b"x"),
        cooldown_key("live", "a", "account", b"account\0x"),
        cooldown_key("live", "aaccount", "", b"x"),
    }
    assert len(keys) == 6


def test_a_batch_reads_the_store_once_and_each_key_once() -> None:
    store = Counting()
    cooldowns = Cooldowns(store)
    cooldowns.load([b"a", b"b", b"a"])
    cooldowns.load([b"a", b"c"])
    assert store.reads == [[b"a", b"b"], [b"c"]]


def test_rows_survive_in_the_store() -> None:
    store = DictStore()
    first = Cooldowns(store)
    first.mark(b"a", 100, 50)
    assert first.dirty == 1
    write(first, store)
    assert first.dirty == 0 and first.take_dirty() == []
    assert read_row(store.rows[b"a"]) == (100, 150)
    second = Cooldowns(store)
    assert second.cooling(b"a", 149, 50)
    assert not second.cooling(b"a", 150, 50)
    assert not second.cooling(b"b", 149, 50)


def test_a_cooldown_that_was_shortened_ends_early_and_a_longer_one_as_it_began() -> None:
    cooldowns = Cooldowns()
    cooldowns.mark(b"a", 100, 50)
    assert not cooldowns.cooling(b"a", 120, 20)
    assert cooldowns.cooling(b"a", 119, 20)
    assert not cooldowns.cooling(b"a", 150, 1000)
    assert not cooldowns.cooling(b"a", 120, 0)


def test_the_cache_is_bounded_and_changed_rows_stay() -> None:
    store = DictStore()
    cooldowns = Cooldowns(store, capacity=100)
    for i in range(5_000):
        key = b"%d" % i
        cooldowns.load([key])
        cooldowns.mark(key, 0, 10**9)
        if i % 50 == 0:
            write(cooldowns, store)
    assert len(cooldowns._rows) <= 250
    write(cooldowns, store)
    assert all(cooldowns.cooling(b"%d" % i, 10**9 - 1, 10**9) for i in range(5_000))
    assert len(cooldowns._rows) <= 250


def test_rows_that_no_longer_count_are_deleted() -> None:
    store = DictStore()
    cooldowns = Cooldowns(store, capacity=10)
    for i in range(200):
        cooldowns.load([b"%d" % i])
        cooldowns.mark(b"%d" % i, i, 5)
        write(cooldowns, store)
    assert len(store.rows) < 30
    assert len(cooldowns._rows) <= 11


def test_a_deleted_row_is_not_read_back_before_the_checkpoint() -> None:
    store = DictStore()
    cooldowns = Cooldowns(store, capacity=1)
    cooldowns.mark(b"a", 0, 5)
    write(cooldowns, store)
    cooldowns.mark(b"b", 100, 5)
    cooldowns.load([b"c"])
    cooldowns.load([b"d"])
    assert (b"a", None) in cooldowns._dirty.items()
    assert not cooldowns.cooling(b"a", 101, 5)
    cooldowns.mark(b"a", 101, 5)
    assert cooldowns.cooling(b"a", 102, 5)
    write(cooldowns, store)
    assert read_row(store.rows[b"a"]) == (101, 106)


def test_without_a_store_rows_stay_until_they_no_longer_count() -> None:
    cooldowns = Cooldowns(capacity=10)
    for i in range(100):
        cooldowns.mark(b"%d" % i, i, 50)
    assert all(cooldowns.cooling(b"%d" % i, 99, 50) for i in range(50, 100))
    assert len(cooldowns._rows) < 100


def test_a_sweep_knows_what_no_longer_counts() -> None:
    cooldowns = Cooldowns()
    cooldowns.mark(b"a", 0, 5)
    cooldowns.mark(b"b", 0, 6)
    values = [value for _, value in cooldowns.take_dirty() if value is not None]
    assert expired(values, 5) == [True, False]
