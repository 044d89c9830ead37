"""Files and trees from one store to another: plan, run, report."""
