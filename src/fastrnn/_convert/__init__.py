"""Files, and the models and weights of other libraries."""
