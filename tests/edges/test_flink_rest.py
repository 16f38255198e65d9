"""What a stack trace of Flink comes down to."""

import pytest

from integration.flink.rest import innermost

PYTHON = """org.apache.flink.runtime.taskmanager.AsynchronousException: Caught exception
\tat org.apache.flink.streaming.runtime.tasks.StreamTask.run(StreamTask.java:1)
Caused by: java.lang.RuntimeException: Failed to process element
\t... 3 more
Caused by: pemja.core.PythonException: <class 'operators.timeline.TimelineError'>: the state belongs to timeline a
\tat <string>.process_element(<string>:7)
\tat pemja.core.PythonInterpreter._invoke(Native Method)
"""
JAVA = """org.apache.flink.runtime.JobException: Recovery is suppressed
\tat org.apache.flink.X.y(X.java:1)
Caused by: org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node assignment
\tat java.base/java.lang.Thread.run(Thread.java:840)
"""
ABSENT = """org.apache.flink.util.FlinkRuntimeException: Failed to list subscribed topic partitions due to
\tat org.apache.flink.connector.kafka.source.X.y(X.java:1)
Caused by: java.lang.RuntimeException: Failed to get metadata for topics [shop.events, shop.more].
\tat org.apache.flink.connector.kafka.util.AdminUtils.getTopicMetadata(AdminUtils.java:79)
Caused by: java.util.concurrent.ExecutionException: org.apache.kafka.common.errors.UnknownTopicOrPartitionException: This server
"""


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        (
            ABSENT,
            "not all of these topics are there: shop.events, shop.more. `watchgate doctor --kafka HOST:PORT` says how to "
            "make them",
        ),
        (PYTHON, "the state belongs to timeline a"),
        (JAVA, "Timed out waiting for a node assignment"),
        ("java.lang.NullPointerException\n\tat a.b(C.java:1)\n", "java.lang.NullPointerException"),
    ],
)
def test_the_innermost_error_is_what_is_said(trace: str, said: str) -> None:
    assert innermost(trace) == said
