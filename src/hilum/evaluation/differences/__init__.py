"""What a predicted report says that its reference does not, and the reverse, sentence beside sentence."""
