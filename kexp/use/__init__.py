"""What is done with a trained model: predict, measure on other data, export."""
