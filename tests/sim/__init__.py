"""The pipeline's pure half beside the simulator's, in memory, on a virtual clock."""
