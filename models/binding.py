"""Which column goes into which tensor of somebody else's model."""

from collections.abc import Sequence

from operators.scoring import ModelError
from schemas.manifest import ModelInput


def bound(tensors: Sequence[str], inputs: Sequence[ModelInput]) -> list[ModelInput]:
    """The inputs in the order of a model's tensors, of which each takes one column.

    Tensors that are called as the columns are, all of them, get the columns by name. Else place counts, and a tensor that is
    called as a column gets that one: raises ModelError where it would get another, since every score would be wrong and none
    would look so.
    """
    by_name = {one.name: one for one in inputs}
    if len(tensors) != len(inputs):
        raise ModelError(
            f"the model takes a column for each of its tensors ({', '.join(tensors)}), and --inputs names {len(inputs)} ({', '.join(by_name)})"
        )
    if by_name.keys() == set(tensors):
        return [by_name[tensor] for tensor in tensors]
    for number, (tensor, given) in enumerate(zip(tensors, inputs, strict=True), 1):
        if tensor in by_name and tensor != given.name:
            raise ModelError(
                f"the model's tensors are {', '.join(tensors)}, and tensor {tensor} would get column {given.name}: write the columns in the order of the tensors, {tensor} as number {number}; if another column belongs there, call it or the tensor otherwise"
            )
    return list(inputs)
