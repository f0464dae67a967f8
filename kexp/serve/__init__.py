"""The prediction endpoint of a trained model: batches of waiting requests, the application, the server."""
