"""The flow of ``kexp run``: prepare the inputs, assemble and train each run, notify trackers, write results."""
