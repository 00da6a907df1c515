"""Training from recipes: the expert, the reporter's first stage, and the figures that say what was learned."""
