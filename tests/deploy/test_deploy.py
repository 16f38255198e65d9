"""The deploy files say what DESIGN asks of a job: parsed, and held against the settings that correctness hangs on."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from integration.jars import pinned
from jobs.flink_job.arguments import parse_arguments

_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "integration" / "deploy"


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load((_DEPLOY / name).read_text())
    return document


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments of each line of the Dockerfile, continued lines joined."""
    text = "\n".join(
        line for line in (_ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")
    )
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in lines)]


def test_the_dockerfile_has_only_instructions_that_docker_knows() -> None:
    assert {word for word, _ in instructions()} <= {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER"}


def test_the_image_is_built_in_stages_from_pinned_images_and_runs_as_flink() -> None:
    found = instructions()
    images = [rest.split(" AS ")[0] for word, rest in found if word == "FROM"]
    assert len(images) == 4 and images[-1] == "flink:2.3.0-scala_2.12-java17"
    assert all(re.search(r":.*\d", image) and "latest" not in image for image in images)
    assert [rest for word, rest in found if word == "USER"][-1] == "flink"


def test_what_the_dockerfile_copies_from_the_project_is_there() -> None:
    sources = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    for source in (source for group in sources for source in group):
        assert "*" in source or source == "README.md" or (_ROOT / source).exists(), source


def test_stages_that_are_copied_from_exist() -> None:
    found = instructions()
    stages = {rest.split(" AS ")[1] for word, rest in found if word == "FROM" and " AS " in rest}
    used = {match[1] for word, rest in found if word == "COPY" and (match := re.search(r"--from=(\w+) ", rest))}
    assert used == stages


def test_the_image_checks_the_connector_against_the_committed_sum() -> None:
    run = next(rest for word, rest in instructions() if word == "RUN" and "mvn" in rest)
    assert "sha256sum --check --strict" in run
    assert sum("flink-sql-connector-kafka" in name for name in pinned()) == 1


@pytest.fixture
def settings() -> dict[str, str]:
    found: dict[str, str] = load("flinkdeployment.yaml")["spec"]["flinkConfiguration"]
    return found


def test_the_deployment_keeps_what_exactly_once_needs(settings: dict[str, str]) -> None:
    assert settings["execution.checkpointing.mode"] == "EXACTLY_ONCE"
    assert settings["execution.checkpointing.unaligned.enabled"] == "false"
    assert settings["execution.checkpointing.incremental"] == "true"
    assert settings["state.backend.type"] == "rocksdb"
    assert settings["high-availability.type"] == "kubernetes"
    assert settings["taskmanager.numberOfTaskSlots"] == "1"
    assert settings["classloader.parent-first-patterns.additional"] == "pemja."
    assert settings["metrics.reporter.prom.factory.class"].endswith("PrometheusReporterFactory")
    assert all(isinstance(value, str) for value in settings.values())


def test_the_deployment_is_one_job_with_savepoint_upgrades() -> None:
    document = load("flinkdeployment.yaml")
    assert (document["apiVersion"], document["kind"]) == ("flink.apache.org/v1beta1", "FlinkDeployment")
    spec = document["spec"]
    assert spec["flinkVersion"] == "v2_3"
    job = spec["job"]
    assert (job["upgradeMode"], job["state"]) == ("savepoint", "running")
    assert job["jarURI"] == "local:///opt/flink/opt/flink-python-2.3.0.jar"
    assert job["entryClass"] == "org.apache.flink.client.python.PythonDriver"
    at = job["args"].index("-pym")
    assert job["args"][at + 1] == "jobs.flink"
    given = parse_arguments(job["args"][at + 2 :])
    assert (given.prefix, given.events, given.delivery) == ("shop", ("shop.events",), "exactly-once")
    assert given.parallelism is None  # the operator's own `parallelism:` counts


def test_the_deployment_runs_without_privileges_and_holds_no_secret() -> None:
    pod = load("flinkdeployment.yaml")["spec"]["podTemplate"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod["volumes"][1]["secret"] == {"secretName": "watchgate-client-properties"}
    # Flink logs the environment of the Python that it starts, so no secret is in a variable.
    container = pod["containers"][0]
    assert all("valueFrom" not in one for one in container["env"])
    (key,) = (one["value"] for one in container["env"] if one["name"] == "WATCHGATE_PII_KEY_FILE")
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert key == f"{mounted['pii-key']}/key"
    assert {"name": "pii-key", "secret": {"secretName": "watchgate-pii-key"}} in pod["volumes"]
    assert "password" not in (_DEPLOY / "flinkdeployment.yaml").read_text()


def test_compose_has_a_broker_as_the_topics_need_it_and_listens_on_this_machine_only() -> None:
    services = load("compose.yaml")["services"]
    assert set(services) == {"kafka", "checkpoints-owner", "jobmanager", "taskmanager"}
    kafka = services["kafka"]
    assert kafka["image"] == "apache/kafka:4.1.1"
    assert kafka["environment"]["KAFKA_LOG_MESSAGE_TIMESTAMP_TYPE"] == "LogAppendTime"
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    # Where the broker writes is what the volume keeps.
    assert kafka["volumes"] == [f"kafka:{kafka['environment']['KAFKA_LOG_DIRS']}"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)
    for name in ("jobmanager", "taskmanager"):
        assert services[name]["command"] == name
        assert (
            YAML(typ="safe").load(services[name]["environment"]["FLINK_PROPERTIES"])["state.backend.type"] == "rocksdb"
        )


def test_the_versions_of_compose_and_image_are_those_of_the_jars() -> None:
    names = set(pinned())
    assert "kafka_2.13-4.1.1.jar" in names
    assert "flink-sql-connector-kafka-5.0.0-2.2.jar" in names
