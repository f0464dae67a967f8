"""Trained models: loading, predicting tables, evaluating on labelled data, exporting."""
