"""Inference engines: a model exported to ONNX, built for one shape of images, and called."""
