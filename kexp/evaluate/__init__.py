"""Predictions and what is measured on them: metrics, baselines, statistics, calibration, word attributions."""
