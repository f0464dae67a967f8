"""A backbone as blocks, its forward pass, and hidden states of frozen blocks that are computed once."""
