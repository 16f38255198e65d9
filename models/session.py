"""onnxruntime sessions: one thread, no spinning, on the processor."""

import onnxruntime as ort

from operators.scoring import ModelError


def session(data: bytes, *, as_written: bool = False) -> ort.InferenceSession:
    """A session over a model file; `as_written`: its nodes as they are, none joined. Raises ModelError where there is none."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if as_written:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no one class for it
        raise ModelError(f"onnxruntime does not take the model: {' '.join(str(error).split())[:300]}") from None
