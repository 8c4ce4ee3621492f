"""Weights that the product ships, and the programs that make and judge them.

One folder per model (`<name>/{model.toml, weights.onnx, labels.txt, card.md}`), read by inference at run time.
`train/` needs PyTorch (extra `[train]`); `evaluate/` needs ONNX Runtime alone.
"""
