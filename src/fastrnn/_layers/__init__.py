"""The layers: parameters, gradients, and a mode."""
