"""The Faust app of the stages normalize and aggregate: it hands chunks to pure tasks and forwards what they return."""
