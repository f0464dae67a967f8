"""A backbone as blocks, and its forward pass over rows of tokens, without padding where its family is known."""
