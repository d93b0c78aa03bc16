"""COBY: what every stage of the pipeline must agree on (settings, models, interfaces, stages, runtime)."""
