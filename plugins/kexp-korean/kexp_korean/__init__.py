"""Korean corpora and Korean pre-trained models for kexp."""

__version__ = "0.1.0"
