"""The calculator: what a call would take, reckoned live in a browser by the estimator's own formulas."""
