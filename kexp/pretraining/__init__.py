"""Task-adaptive pre-training: masked language modelling on the texts of train before the classifier is trained."""
