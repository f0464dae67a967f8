"""Training: one loop that yields events; objectives, freezing and samplers vary, the loop does not."""
