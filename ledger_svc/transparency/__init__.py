"""The proof: Merkle tree, signed checkpoints, inclusion and consistency."""
