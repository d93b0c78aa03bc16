"""How COBY runs: on one machine without Docker (`deploy.local`), as images, in a cluster."""
