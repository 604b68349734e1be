"""Networks as ONNX graphs, written without PyTorch. A graph is structure only: its weights are given at run time."""
