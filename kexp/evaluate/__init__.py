"""How good a model is: predictions, metrics on them, baselines, statistics, calibration, word attributions."""
