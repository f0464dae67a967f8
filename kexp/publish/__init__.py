"""Publishing a trained model: which run, what its licences allow, its files, its card, the Hugging Face hub."""
