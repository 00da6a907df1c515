"""Data sets: what they hold and how to read them; tables of labelled pictures, split by patient. No torch."""
