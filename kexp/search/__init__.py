"""Search for the best spec: Optuna proposes trials, executors run them, the best is trained anew and tested."""
