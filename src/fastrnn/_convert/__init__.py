"""Layers from the models and weights of PyTorch and Keras."""

from fastrnn._convert.keras import load_keras
from fastrnn._convert.torch import load_torch

__all__ = ["load_keras", "load_torch"]
