"""From a table to a served TensorFlow model: one room for each stage of the model's life."""

__version__ = "0.1.0"
