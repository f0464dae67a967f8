"""A trained model in Python.

    from kexp.trained import load

    model = load("runs/nsmc/20260101T000000Z-0a1b2c3d/focal/seed-1")
    probabilities = model.predict(["정말 재미있다", "별로였다"])      # array of shape (rows, labels)
    best = [model.labels[number] for number in probabilities.argmax(1)]

``load`` takes several folders too, and then averages the models.
"""

from kexp.inference.loading import load
from kexp.inference.trained_model import Answers, TrainedModel

__all__ = ["Answers", "TrainedModel", "load"]
