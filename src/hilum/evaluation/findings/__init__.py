"""Probabilities against labels: discrimination, calibration, operating points, heat maps, the judge that runs them."""
