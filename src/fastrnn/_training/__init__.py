"""Training: the loop, its history and checkpoints, and prediction."""
