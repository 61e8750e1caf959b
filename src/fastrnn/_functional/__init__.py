"""The functions without state: sequences, the linear layer, losses."""
