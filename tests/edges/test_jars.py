"""The jars: fetched once, checked at each use; what is said when Maven, Java or the right bytes are missing."""

import hashlib
import os
from pathlib import Path

import pytest

from integration import jars
from integration.flink import settings
from integration.flink.settings import Ports, write_conf
from integration.jars import JarsError, cached_jars, jars_folder, pinned, resolve_jars
from integration.java import JavaError, find_java


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and two small files in place of the pinned jars."""
    sums = tmp_path / "jars.sha256"
    names = ("flink-sql-connector-kafka-1.jar", "kafka-1.jar")
    sums.write_text("".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in names))
    monkeypatch.setattr(jars, "SUMS", sums)
    monkeypatch.setenv("WATCHGATE_JARS", str(tmp_path / "cache"))
    return tmp_path / "cache"


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")


def fake_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    executable(tmp_path / "bin" / "mvn", text)
    on_path(monkeypatch, tmp_path / "bin")


_WRITE = """for last; do true; done
folder=${last#-DoutputDirectory=}
printf flink-sql-connector-kafka-1.jar > $folder/flink-sql-connector-kafka-1.jar"""


def test_every_pinned_sum_is_a_sha256_and_both_direct_jars_are_pinned() -> None:
    found = pinned()
    assert all(len(digest) == 64 and name.endswith(".jar") for name, digest in found.items())
    text = jars.POM.read_text()
    for name in ("flink-sql-connector-kafka-5.0.0-2.2", "kafka_2.13-4.1.1"):
        assert f"{name}.jar" in found
        assert f"<version>{name.rsplit('-', 1)[-1] if '2.13' in name else '5.0.0-2.2'}</version>" in text


def test_fetched_once_and_then_without_maven(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_maven(tmp_path, monkeypatch, f"{_WRITE}\nprintf kafka-1.jar > $folder/kafka-1.jar")
    assert cached_jars() is None
    first = resolve_jars()
    monkeypatch.setenv("PATH", "")
    again = resolve_jars()
    assert first == again == cached_jars()
    assert again.connector == cache / "flink-sql-connector-kafka-1.jar"
    assert again.broker_classpath == str(cache / "kafka-1.jar")
    assert sorted(path.name for path in cache.iterdir()) == ["flink-sql-connector-kafka-1.jar", "kafka-1.jar"]


def test_a_download_that_is_not_what_was_pinned(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_maven(tmp_path, monkeypatch, f"{_WRITE}\nprintf evil > $folder/kafka-1.jar")
    with pytest.raises(JarsError, match=r"kafka-1\.jar is not the jar that was pinned: its sha256 is [0-9a-f]{64}, "):
        resolve_jars()
    assert not (cache / "kafka-1.jar").exists()


def test_a_jar_in_the_cache_that_was_changed(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_maven(tmp_path, monkeypatch, f"{_WRITE}\nprintf kafka-1.jar > $folder/kafka-1.jar")
    resolve_jars()
    (cache / "kafka-1.jar").write_text("changed")
    with pytest.raises(JarsError, match="If the download broke, remove the file and try again"):
        cached_jars()


def test_versions_that_do_not_fit(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_maven(tmp_path, monkeypatch, _WRITE)
    with pytest.raises(JarsError) as caught:
        resolve_jars()
    assert str(caught.value) == (
        "Maven fetched no kafka-1.jar: integration/pom.xml and integration/jars.sha256 name different versions. Take "
        "both from one release."
    )


def test_no_network(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_maven(tmp_path, monkeypatch, "echo '[ERROR] Unknown host repo.maven.apache.org'; exit 1")
    with pytest.raises(JarsError) as caught:
        resolve_jars()
    assert str(caught.value) == (
        "Maven could not fetch the jars:\n  [ERROR] Unknown host repo.maven.apache.org\nIs repo.maven.apache.org "
        "reachable? A mirror or a proxy belongs in ~/.m2/settings.xml. On a machine without network, copy the jars of "
        f"another one to {cache}."
    )


def test_no_maven(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JarsError) as caught:
        resolve_jars()
    assert str(caught.value) == (
        "no Maven: there is no mvn on PATH, and it is needed once to fetch the Kafka and Flink connector jars. "
        "Install it (Debian: apt install maven, macOS: brew install maven), or copy the jars from a machine that has them to "
        f"{cache} (WATCHGATE_JARS names another folder)."
    )


def test_a_cache_that_cannot_be_written(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_maven(tmp_path, monkeypatch, "true")
    cache.write_text("a file")
    with pytest.raises(JarsError, match=r"cannot be written: .* Name another folder with WATCHGATE_JARS\."):
        resolve_jars()


def test_the_cache_is_named_after_the_pinned_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHGATE_JARS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jars_folder().parent == tmp_path / "watchgate" / "jars"
    assert len(jars_folder().name) == 12


def test_java_of_java_home_and_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "jdk" / "bin" / "java", "echo 'openjdk version \"21.0.2\" 2024-01-16' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert (find_java().home, find_java().version) == (tmp_path / "jdk", 21)
    monkeypatch.delenv("JAVA_HOME")
    on_path(monkeypatch, tmp_path / "jdk" / "bin")
    assert find_java().executable == tmp_path / "jdk" / "bin" / "java"


_INSTALL = (
    "Install one (Debian: apt install openjdk-17-jre-headless, macOS: brew install openjdk@17), or set JAVA_HOME to it."
)


def test_no_java_and_the_wrong_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JavaError) as caught:
        find_java()
    assert str(caught.value) == f"no Java: JAVA_HOME is not set and there is no java on PATH. {_INSTALL}"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(JavaError) as caught:
        find_java()
    assert str(caught.value) == f"JAVA_HOME is {tmp_path}, but there is no bin/java in it. {_INSTALL}"
    executable(tmp_path / "bin" / "java", "echo 'java version \"1.8.0_402\"' >&2")
    with pytest.raises(JavaError) as caught:
        find_java()
    assert str(caught.value) == f"{tmp_path}/bin/java is version 8; Kafka and Flink need Java 17 or 21. {_INSTALL}"


def test_a_connector_that_flink_was_given_makes_way_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them would be one too many for the class path."""
    ours = tmp_path / "flink-sql-connector-kafka-5.jar"
    flink = tmp_path / "flink"
    given = ("lib/flink-dist.jar", "lib/flink-sql-connector-kafka-4.jar", f"lib/{ours.name}", "opt/flink-python-2.jar")
    for name in (*given, "opt/other.jar", "conf/log4j.properties"):
        (flink / name).parent.mkdir(parents=True, exist_ok=True)
        (flink / name).touch()
    (flink / "conf" / "config.yaml").write_text("env: {java: {opts: {all: -Da=b}}}")
    monkeypatch.setattr(settings, "flink_home", lambda: flink)
    write_conf(tmp_path / "own", Ports(1, 2, 3), ours, {})
    found = {jar.name: jar.readlink() for jar in (tmp_path / "own" / "lib").iterdir()}
    assert found == {Path(name).name: flink / name for name in (given[0], given[3])} | {ours.name: ours}
