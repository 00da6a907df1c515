"""The report cards of the bundled starters."""
