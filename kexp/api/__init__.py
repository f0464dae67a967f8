"""What ``import kexp`` offers to a script or a notebook: functions that do what the commands do, and their results."""
