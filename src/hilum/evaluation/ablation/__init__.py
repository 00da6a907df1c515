"""Experiments: does the injected finding list help, is the picture looked at, what does each stage bring."""
