"""What a job on a cluster refuses before it is handed over."""

import pytest

from jobs.flink_job.fitness import UnfitError, check_program
from operators.program import compile_program
from schemas.policy_file import parse_policy

POLICY = """policy: shop
events:
  sale: {id: /id, time: /at, fields: {account: string, amount: float}}
entities: {account: account}
features:
  risk: {mean: MEASURED, by: account, over: 1d}
"""


def test_a_policy_that_reads_labels():
    check_program(compile_program(parse_policy(POLICY.replace("MEASURED", "amount"), "p.yaml")))
    with pytest.raises(UnfitError) as caught:
        check_program(compile_program(parse_policy(POLICY.replace("MEASURED", "label.fraud"), "p.yaml")))
    assert str(caught.value) == (
        "policy shop reads label.fraud (feature risk), and a job on a cluster takes no labels yet. "
        "Take the feature out, or run the policy with watchgate run --labels."
    )
