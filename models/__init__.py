"""The ONNX registry, scoring and training."""
