"""Search for the best spec: Optuna proposes trials, executors run them, the best spec is trained again and tested."""
