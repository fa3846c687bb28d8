"""Order, plan, warm process, summary: what turns rooms into a pipeline."""
